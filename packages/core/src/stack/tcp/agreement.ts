/** What the two SYNs of a connection have agreed on, and what follows from it. */
import { MOST_OPTION_BYTES, type SegmentOption } from "../../wire/tcp/options.ts";
import { type SynOptions, TIMESTAMP_BYTES, windowShiftFor, writeSynOptions } from "./handshake.ts";
import { PathSegmentSize } from "./path-segment-size.ts";
import type { TcpSettings } from "./settings.ts";

export class Agreement {
  readonly #settings: TcpSettings;
  /** The peer's initial sequence number. */
  peerInitialSequence = 0;
  usesTimestamps = false;
  usesSelective = false;
  /** The shift of the peer's windows, and of ours. */
  peerShift = 0;
  shift = 0;
  pathSize: PathSegmentSize;
  /** The peer's windows are scaled, and so are ours. */
  peerScales = false;
  /** The Fast Open cookie of the peer's SYN. */
  givenCookie: Uint8Array | undefined;

  constructor(settings: TcpSettings) {
    this.#settings = settings;
    this.pathSize = new PathSegmentSize(settings.maximumSegmentBytes);
  }

  /** The peer's SYN is known. */
  agree(peerInitialSequence: number, peer: SynOptions): void {
    const settings = this.#settings;
    this.peerInitialSequence = peerInitialSequence;
    this.usesTimestamps = settings.timestamps && peer.timestamps !== undefined;
    this.usesSelective = settings.selectiveAcknowledgements && peer.selective;
    this.peerScales = peer.windowShift !== undefined;
    this.givenCookie = peer.fastOpenCookie;
    this.peerShift = peer.windowShift ?? 0;
    this.shift = this.peerScales ? windowShiftFor(settings.receiveBufferBytes) : 0;
    this.pathSize = new PathSegmentSize(Math.min(peer.maximumSegmentBytes, settings.maximumSegmentBytes));
  }

  /**
   * RFC 6691: what is left of a segment when the options that every one has are in it. `extensionBytes` are those of
   * the extension.
   */
  payloadBytes(extensionBytes: number): number {
    const options = (this.usesTimestamps ? TIMESTAMP_BYTES : 0) + extensionBytes;
    return Math.max(1, this.pathSize.bytes - Math.min(options, MOST_OPTION_BYTES));
  }

  /** The options of our SYN, or of the SYN-ACK that answers the peer's. */
  synOptions(
    answer: boolean,
    timestamps: SynOptions["timestamps"],
    fastOpenCookie: Uint8Array | undefined,
  ): SegmentOption[] {
    const settings = this.#settings;
    return writeSynOptions({
      maximumSegmentBytes: settings.maximumSegmentBytes,
      windowShift: answer && !this.peerScales ? undefined : windowShiftFor(settings.receiveBufferBytes),
      selective: answer ? this.usesSelective : settings.selectiveAcknowledgements,
      timestamps: (answer ? this.usesTimestamps : settings.timestamps) ? timestamps : undefined,
      fastOpenCookie,
    });
  }
}
