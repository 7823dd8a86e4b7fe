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

/** What a gateway said: "loadUnknown" when it does not know the Gateway Load TLV and is to be asked without. */
export type InfoAnswer =
  | { readonly outcome: "answered"; readonly load: number | undefined }
  | { readonly outcome: "loadUnknown" }
  /** `heard`: something came back, so that it is not for want of a path. */
  | { readonly outcome: "failed"; readonly reason: string; readonly heard: boolean };

/** Asks a gateway for its extensions (RFC 8803 section 6.2.3) and, if wanted, for its load in percent. Never rejects. */
export async function askInfo(
  gateway: Endpoint,
  source: IpAddress | undefined,
  wantsLoad: boolean,
): Promise<InfoAnswer> {
  let heard = false;
  try {
    return await probe(gateway, source, "tcp", (socket) => {
      heard = true;
      return exchangeInfo(socket, wantsLoad);
    });
  } catch (error) {
    return { outcome: "failed", reason: describeError(error), heard: heard || isRefusal(error) };
  }
}

function isRefusal(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
}

function failed(reason: string): InfoAnswer {
  return { outcome: "failed", reason, heard: true };
}

async function exchangeInfo(socket: Socket, wantsLoad: boolean): Promise<InfoAnswer> {
  socket.write(
    emitConvertMessage(wantsLoad ? [{ type: "info" }, { type: "gatewayLoad", percent: 0 }] : [{ type: "info" }]),
  );
  let received = new Uint8Array();
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Uint8Array]);
    const result = parseConvertMessage(received);
    if (result.outcome === "incomplete") continue;
    if (result.outcome !== "message") return failed("its answer is no Convert message");
    const load = findTlv(result.message, "gatewayLoad")?.percent;
    const error = findTlv(result.message, "error");
    const name = error && errorName(error.code);
    if (wantsLoad && name === "unsupportedMessage") return { outcome: "loadUnknown" };
    // A gateway that asks for a cookie serves those who have one.
    if (error === undefined || name === "missingCookie") return { outcome: "answered", load };
    return failed(name ?? `error ${error.code}`);
  }
  return failed("it closed without an answer");
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
    return isRefusal(error);
  }
}
