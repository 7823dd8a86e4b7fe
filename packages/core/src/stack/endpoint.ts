/**
 * The seam between a protocol stack and what carries its packets: a TUN device, or the simulator. No I/O and no clock:
 * packets and time go in, packets and the time of the next call come out.
 */

/**
 * One host's stack. Times are milliseconds of one clock that never goes back, with fractions. A driver calls
 * {@link onPacket} and {@link onTimeout} as things happen, and after each of them {@link pollTransmit} until it has
 * nothing, then {@link pollTimeout}. The same calls at the same times give the same packets.
 */
export interface PacketEndpoint {
  /**
   * Takes one whole IP packet, valid or not, that has arrived. The endpoint may keep views of it: the driver must not
   * change or reuse the bytes.
   */
  onPacket(nowMs: number, packet: Uint8Array): void;
  /** Does what {@link pollTimeout} has asked for; harmless before that time. */
  onTimeout(nowMs: number): void;
  /** The next IP packet to send, which then belongs to the driver, or undefined. It leaves by its source address. */
  pollTransmit(nowMs: number): Uint8Array | undefined;
  /** When {@link onTimeout} wants to be called, or undefined when only a packet can change anything. */
  pollTimeout(): number | undefined;
}
