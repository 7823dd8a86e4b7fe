/** What this host, or an engine on it, can do; where it cannot, the reason, for people. */
export type Capability = { readonly available: true } | { readonly available: false; readonly reason: string };

export const AVAILABLE: Capability = { available: true };

export function unavailable(reason: string): Capability {
  return { available: false, reason };
}
