/** Bounds of every host whose transport is this engine's: connections, those that are ending included, and the largest packet of a TUN device that nobody has told another one. */
export const HOST_BOUNDS = { mostConnections: 65_536, mtuBytes: 1500 } as const;
