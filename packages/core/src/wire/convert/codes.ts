/** Numbers of the 0-RTT TCP Convert Protocol (RFC 8803) and of IANA's "TCP Convert Protocol Parameters". */

/** RFC 8803 section 6.1: the only version. */
export const CONVERT_VERSION = 1;

/** RFC 8803 section 6.1: what tells a Convert message from other bytes; 8803 in decimal. */
export const CONVERT_MAGIC = 0x2263;

/** RFC 8803 section 6.1: the fixed header, in bytes. */
export const FIXED_HEADER_BYTES = 4;

/** RFC 8803 section 6.1: Total Length is 8 bits of 32-bit words, so a whole message is no longer than this, in bytes. */
export const MAX_MESSAGE_BYTES = 255 * 4;

/** The service port. RFC 8803 assigns none; 5124 is this project's default. */
export const DEFAULT_CONVERT_PORT = 5124;

/** RFC 8803 section 6.2.2, table 1. 192 to 255 are for private use: `subflowLimit` and `gatewayLoad` are this project's own. */
export const TLV_TYPE = {
  info: 1,
  connect: 10,
  extendedTcpHeader: 20,
  supportedTcpExtensions: 21,
  cookie: 22,
  error: 30,
  subflowLimit: 192,
  gatewayLoad: 193,
} as const;

/** RFC 8803 section 6.2.8, table 2. */
export const ERROR_CODE = {
  unsupportedVersion: 0,
  malformedMessage: 1,
  unsupportedMessage: 2,
  missingCookie: 3,
  notAuthorized: 32,
  unsupportedTcpOption: 33,
  resourceExceeded: 64,
  networkFailure: 65,
  connectionReset: 96,
  destinationUnreachable: 97,
} as const;

export type ErrorName = keyof typeof ERROR_CODE;

/** The name of an error code, for logs and counters; unassigned codes have none. */
export function errorName(code: number): ErrorName | undefined {
  return (Object.keys(ERROR_CODE) as ErrorName[]).find((name) => ERROR_CODE[name] === code);
}
