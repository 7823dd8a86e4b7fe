/** Probes of the control plane: whether a gateway answers, and whether an uplink reaches anything. */
import { once } from "node:events";
import { Socket } from "node:net";
import { describeError } from "@hybrid-access/core/base/error";
import { type Endpoint, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import { check } from "@hybrid-access/core/platform/errno";
import {
  bind,
  closeDescriptor,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  OPTION,
  openStreamSocket,
  setOption,
} from "@hybrid-access/core/platform/socket";
import { addressFamily } from "@hybrid-access/core/platform/socket-address";
import { errorName } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage, findTlv, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";

const PROBE_TIMEOUT_MS = 2000;

export type ProbeProtocol = "mptcp" | "tcp";

/** Connects from `source` and gives what `use` makes of the connection. Rejects after 2 s. */
async function probe<Result>(
  endpoint: Endpoint,
  source: IpAddress | undefined,
  protocol: ProbeProtocol,
  use: (socket: Socket) => Promise<Result>,
): Promise<Result> {
  const fd = openFrom(endpoint, source, protocol);
  const socket = new Socket({ fd, manualStart: true, readable: true, writable: true } as object);
  const timer = setTimeout(() => socket.destroy(new Error("no answer in time")), PROBE_TIMEOUT_MS);
  try {
    socket.connect({ host: formatIpAddress(endpoint.address), port: endpoint.port });
    await once(socket, "connect");
    return await use(socket);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

function openFrom({ address }: Endpoint, source: IpAddress | undefined, protocol: ProbeProtocol): number {
  const fd = check(
    openStreamSocket(addressFamily(address), protocol === "mptcp" ? IPPROTO_MPTCP : IPPROTO_TCP),
    "socket",
  );
  try {
    if (source !== undefined) {
      setOption(fd, OPTION.ipBindAddressNoPort, 1);
      check(bind(fd, { address: source, port: 0 }), "bind");
    }
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/**
 * Asks a gateway for its extensions (RFC 8803 section 6.2.3). Undefined when it answered; otherwise why it does not
 * serve. Never rejects.
 */
export async function askInfo(gateway: Endpoint, source: IpAddress | undefined): Promise<string | undefined> {
  try {
    return await probe(gateway, source, "tcp", exchangeInfo);
  } catch (error) {
    return describeError(error);
  }
}

async function exchangeInfo(socket: Socket): Promise<string | undefined> {
  socket.write(emitConvertMessage([{ type: "info" }]));
  let received = new Uint8Array();
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Uint8Array]);
    const result = parseConvertMessage(received);
    if (result.outcome === "incomplete") continue;
    if (result.outcome !== "message") return "its answer is no Convert message";
    const error = findTlv(result.message, "error");
    // A gateway that asks for a cookie serves those who have one.
    return error === undefined || errorName(error.code) === "missingCookie" ? undefined : errorName(error.code);
  }
  return "it closed without an answer";
}

/** Whether packets go to an endpoint and come back; a refusal is an answer too. Never rejects. */
export async function isReached(
  endpoint: Endpoint,
  source: IpAddress | undefined,
  protocol: ProbeProtocol,
): Promise<boolean> {
  try {
    return await probe(endpoint, source, protocol, async () => true);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  }
}
