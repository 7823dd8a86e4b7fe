/**
 * The parts of a connection, each of which has its own file; connection.ts, segment-arrival.ts and ending.ts make them
 * work together.
 */
import { Agreement } from "./agreement.ts";
import { ChallengeLimit } from "./challenge-limit.ts";
import type { SegmentExtension } from "./extension.ts";
import { Keepalive } from "./keepalive.ts";
import { Life } from "./life.ts";
import { LossRecovery } from "./loss-recovery.ts";
import { Receiver } from "./receiver.ts";
import { RoundTrip } from "./round-trip.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { Sender } from "./sender.ts";
import type { TcpConnectionOptions, TcpSettings } from "./settings.ts";
import { SynExchange } from "./syn-exchange.ts";
import { Timers } from "./timers.ts";
import { Timestamps } from "./timestamps.ts";

export interface TcpParts {
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
  readonly syn: SynExchange;
  readonly keepalive: Keepalive;
  readonly challenges: ChallengeLimit;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly writer: SegmentWriter;
}

export function createParts(options: TcpConnectionOptions, isIpv4: boolean): TcpParts {
  const { settings, extension, initialSequence } = options;
  const timers = new Timers();
  const roundTrip = new RoundTrip();
  const timestamps = new Timestamps(options.timestampOffset);
  const agreement = new Agreement(settings);
  const receiver = new Receiver({
    bufferBytes: settings.receiveBufferBytes,
    timers,
    sharedWindowBytes: () => extension?.windowBytes(),
  });
  return {
    settings,
    extension,
    initialSequence,
    isIpv4,
    life: new Life(),
    timers,
    roundTrip,
    timestamps,
    agreement,
    syn: new SynExchange(timers, roundTrip, settings.synGiveUpMs),
    keepalive: new Keepalive(timers, settings.keepaliveMs),
    challenges: new ChallengeLimit(),
    sender: createSender(options, timers, roundTrip),
    receiver,
    writer: new SegmentWriter({ ...options, extension, agreement, receiver, timestamps }),
  };
}

/** With what is assumed until the handshake has said more. */
function createSender({ settings, extension }: TcpConnectionOptions, timers: Timers, roundTrip: RoundTrip): Sender {
  const segmentBytes = settings.maximumSegmentBytes;
  const congestion = settings.congestion.create(segmentBytes);
  const { giveUpMs } = settings;
  return new Sender({
    recovery: new LossRecovery({ congestion, selective: false, segmentBytes, roundTrip, timers, giveUpMs }),
    roundTrip,
    timers,
    segmentBytes,
    bufferBytes: settings.sendBufferBytes,
    bulkBytes: settings.bulkBytes,
    boundary: (start, end) => extension?.boundary(start, end) ?? end,
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
