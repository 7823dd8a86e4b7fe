/** Choices by chance that several scenarios make. */
import { type Random, randomBelow } from "@hybrid-access/core/base/random";
import { CUBIC } from "@hybrid-access/core/policy/congestion/cubic";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { DEFAULT_TCP_SETTINGS, type TcpSettings } from "@hybrid-access/core/stack/tcp/settings";

export function oneOf<Value>(random: Random, values: readonly [Value, ...Value[]]): Value {
  return values[randomBelow(random, values.length)] ?? values[0];
}

export function chance(random: Random, share: number): boolean {
  return random.next() < share;
}

export function randomTcpSettings(random: Random): TcpSettings {
  return {
    ...DEFAULT_TCP_SETTINGS,
    receiveBufferBytes: oneOf(random, [3000, 65_535, 1_000_000]),
    sendBufferBytes: oneOf(random, [3000, 1_000_000]),
    timestamps: chance(random, 0.8),
    selectiveAcknowledgements: chance(random, 0.8),
    congestion: oneOf(random, [CUBIC, NEW_RENO]),
    // A reset that is lost on an idle connection is found out by nothing else.
    keepaliveMs: 60_000,
  };
}
