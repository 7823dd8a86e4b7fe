/**
 * The parts of a connection, each of which has its own file; connection.ts, segment-arrival.ts and ending.ts make them
 * work together.
 */

import type { Endpoint } from "../../base/ip-address.ts";
import { Agreement } from "./agreement.ts";
import type { ChallengeLimit } from "./challenge-limit.ts";
import type { SegmentExtension } from "./extension.ts";
import { Keepalive } from "./keepalive.ts";
import { Life } from "./life.ts";
import { LossRecovery } from "./loss-recovery.ts";
import { Receiver } from "./receiver.ts";
import { RoundTrip } from "./round-trip.ts";
import { Sender } from "./sender.ts";
import type { TcpConnectionOptions, TcpSettings } from "./settings.ts";
import type { SynExchange } from "./syn-exchange.ts";
import { Timers } from "./timers.ts";
import { Timestamps } from "./timestamps.ts";

export interface TcpParts {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly settings: TcpSettings;
  readonly extension: SegmentExtension | undefined;
  /** ISS. */
  readonly initialSequence: number;
  readonly isIpv4: boolean;
  readonly life: Life;
  readonly timers: Timers;
  readonly roundTrip: RoundTrip;
  readonly timestamps: Timestamps;
  readonly agreement: Agreement;
  /** While the handshake lasts. */
  syn: SynExchange | undefined;
  /** Where the settings ask for it. */
  readonly keepalive: Keepalive | undefined;
  /** From the first answer on that it counts. */
  challenges: ChallengeLimit | undefined;
  readonly sender: Sender;
  readonly receiver: Receiver;
}

export function createParts(options: TcpConnectionOptions, isIpv4: boolean): TcpParts {
  const { local, remote, settings, extension, initialSequence } = options;
  const timers = new Timers();
  const roundTrip = new RoundTrip();
  return {
    local,
    remote,
    settings,
    extension,
    initialSequence,
    isIpv4,
    life: new Life(),
    timers,
    roundTrip,
    timestamps: new Timestamps(options.timestampOffset),
    agreement: new Agreement(settings),
    syn: undefined,
    keepalive: settings.keepaliveMs === undefined ? undefined : new Keepalive(timers, settings.keepaliveMs),
    challenges: undefined,
    sender: createSender(options, timers, roundTrip),
    receiver: new Receiver({ bufferBytes: settings.receiveBufferBytes, timers, extension }),
  };
}

/** With what is assumed until the handshake has said more. */
function createSender({ settings, extension }: TcpConnectionOptions, timers: Timers, roundTrip: RoundTrip): Sender {
  const segmentBytes = settings.maximumSegmentBytes;
  const congestion = settings.congestion.create(segmentBytes, extension?.coupling);
  const { giveUpMs } = settings;
  return new Sender({
    recovery: new LossRecovery({ congestion, selective: false, segmentBytes, roundTrip, timers, giveUpMs }),
    roundTrip,
    timers,
    segmentBytes,
    bufferBytes: settings.sendBufferBytes,
    bulkBytes: settings.bulkBytes,
    extension,
  });
}

/** What a segment of this connection carries, as both sides and the path have it. */
export function payloadBytes({ agreement, extension }: TcpParts): number {
  return agreement.payloadBytes(extension?.dataOptionBytes ?? 0);
}

/** The path carries another size than before. */
export function resizeSegments(parts: TcpParts): void {
  parts.sender.setSegmentBytes(payloadBytes(parts));
}
