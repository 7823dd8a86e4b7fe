/** What the two sides agree on in their SYNs: RFC 9293 section 3.7.1, RFC 7323, RFC 2018, RFC 7413. */
import type { SegmentOption } from "../../wire/tcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";

/** RFC 7323 section 2.3. */
const LARGEST_SHIFT = 14;
const LARGEST_UNSCALED_WINDOW = 0xffff;
/** RFC 9293 section 3.7.1: what every host takes, where it says nothing. */
const DEFAULT_SEGMENT_BYTES = { ipv4: 536, ipv6: 1220 } as const;
/** What a peer may ask for at least: smaller segments would cost more than they carry. */
const LEAST_SEGMENT_BYTES = 88;
/** The timestamps in every segment, padded. */
export const TIMESTAMP_BYTES = 12;

export interface SynOptions {
  /** The largest segment that the sender of the SYN takes, in bytes. */
  readonly maximumSegmentBytes: number;
  /** The shift of its windows, or undefined when it does not scale. */
  readonly windowShift: number | undefined;
  readonly selective: boolean;
  readonly timestamps: { readonly value: number; readonly echoReply: number } | undefined;
  /** A Fast Open cookie, or a request for one: no bytes. */
  readonly fastOpenCookie: Uint8Array | undefined;
}

export function findOption<Type extends SegmentOption["type"]>(
  options: readonly SegmentOption[],
  type: Type,
): Extract<SegmentOption, { type: Type }> | undefined {
  for (const option of options) if (option.type === type) return option as Extract<SegmentOption, { type: Type }>;
  return undefined;
}

export function readSynOptions({ options }: TcpSegment, family: "ipv4" | "ipv6"): SynOptions {
  const shift = findOption(options, "windowScale")?.shift;
  return {
    maximumSegmentBytes: Math.max(
      LEAST_SEGMENT_BYTES,
      findOption(options, "maximumSegmentSize")?.bytes ?? DEFAULT_SEGMENT_BYTES[family],
    ),
    windowShift: shift === undefined ? undefined : Math.min(shift, LARGEST_SHIFT),
    selective: findOption(options, "sackPermitted") !== undefined,
    timestamps: findOption(options, "timestamps"),
    fastOpenCookie: findOption(options, "fastOpen")?.cookie,
  };
}

export function writeSynOptions(syn: SynOptions): SegmentOption[] {
  const options: SegmentOption[] = [{ type: "maximumSegmentSize", bytes: syn.maximumSegmentBytes }];
  if (syn.selective) options.push({ type: "sackPermitted" });
  if (syn.timestamps !== undefined) options.push({ type: "timestamps", ...syn.timestamps });
  if (syn.windowShift !== undefined) options.push({ type: "windowScale", shift: syn.windowShift });
  if (syn.fastOpenCookie !== undefined) options.push({ type: "fastOpen", cookie: syn.fastOpenCookie });
  return options;
}

/** The smallest shift with which a window of `bufferBytes` can be told. */
export function windowShiftFor(bufferBytes: number): number {
  let shift = 0;
  while (shift < LARGEST_SHIFT && LARGEST_UNSCALED_WINDOW * 2 ** shift < bufferBytes) shift += 1;
  return shift;
}
