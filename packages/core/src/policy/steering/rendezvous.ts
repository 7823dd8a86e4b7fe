/**
 * Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by logarithms): every director finds the same node
 * for a flow without asking anybody, each node gets its weight's share, and a node that comes or goes moves only flows
 * that it gets or had.
 */

/** A node that can be chosen. */
export interface Choice {
  readonly name: string;
  /** Relative to the others'; above 0. */
  readonly weight: number;
}

/** The node for `key`, or undefined when there is none. */
export function choose<Node extends Choice>(nodes: readonly Node[], key: string): Node | undefined {
  const keyHash = hashText(key);
  let best: Node | undefined;
  let bestScore = Number.POSITIVE_INFINITY;
  for (const node of nodes) {
    const uniform = (mix(keyHash ^ mix(hashText(node.name))) + 0.5) / 2 ** 32;
    const score = -Math.log(uniform) / node.weight;
    // Equal scores: the same choice everywhere, whatever the order of the nodes.
    if (score < bestScore || (score === bestScore && best !== undefined && node.name < best.name)) {
      best = node;
      bestScore = score;
    }
  }
  return best;
}

/** FNV-1a over UTF-16 units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** The finalizer of MurmurHash3: every bit of the input changes half of the output's. */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
