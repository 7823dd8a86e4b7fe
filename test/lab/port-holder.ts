/**
 * `port-holder.js ADDRESS PORT FIRST COUNT`: a process that holds so many connections from its node to one server, and so
 * their ports, from FIRST on, until its standard input ends. One process may not have descriptors for all the ports of an
 * address; several may. It says "held" when all are established. Nobody needs to accept them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { raiseDescriptorLimit } from "@hybrid-access/core/platform/descriptor-limit";
import { check, ERRNO } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import { connect, IPPROTO_TCP, openStreamSocket, remoteEndpoint, setLinger } from "@hybrid-access/core/platform/socket";
import { addressFamily } from "@hybrid-access/core/platform/socket-address";

/** IP_LOCAL_PORT_RANGE (Linux 6.3): from the low half of a word to its high half. */
const LOCAL_PORT_RANGE = [0, 51] as const;

const [address = "", port = "", first = "", count = ""] = process.argv.slice(2);
const server = { address: ipAddress(address), port: Number(port) };

function hold(localPort: number): number {
  const fd = check(openStreamSocket(addressFamily(server.address), IPPROTO_TCP), "socket");
  // A bound port would be nobody else's, for no destination. Kernels without the option choose ports themselves, and
  // take long for the last ones.
  const range = Int32Array.of((localPort << 16) | localPort);
  libc.setsockopt(fd, ...LOCAL_PORT_RANGE, range, range.byteLength);
  // Its end frees the port at once.
  check(setLinger(fd, 0), "SO_LINGER");
  const result = connect(fd, server);
  if (result !== -ERRNO.EINPROGRESS) check(result, "connect");
  return fd;
}

raiseDescriptorLimit();
for (const fd of Array.from({ length: Number(count) }, (_, index) => hold(Number(first) + index))) {
  while (remoteEndpoint(fd) === undefined) await sleep(1);
}
process.stdout.write("held\n");
process.stdin.resume().once("end", () => process.exit());
