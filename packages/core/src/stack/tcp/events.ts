/** What a TCP connection tells its application. */

/** Each is told once, but "readable" and "writable", which are told again when they become so again. */
export type TcpEvent =
  | "connected"
  /** There are bytes to read that were not there before. */
  | "readable"
  /** There is room to write after there was none. */
  | "writable"
  /** The peer sends no more: what is readable is all. */
  | "ended"
  /** Over; the connection's `closeReason` says why. */
  | "closed";

export type CloseReason =
  /** Both sides have ended, and both know. */
  | "finished"
  /** The peer has reset the connection. */
  | "reset"
  /** The peer answered the SYN with a reset. */
  | "refused"
  /** An ICMP error has answered the SYN. */
  | "unreachable"
  /** Nothing was acknowledged for too long, or a silent peer did not answer. */
  | "timedOut"
  /** This side has reset it. */
  | "aborted";
