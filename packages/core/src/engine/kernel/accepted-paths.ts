/**
 * Linux's in-kernel path manager of this network namespace, as far as a host that accepts connections needs it: how many
 * subflows a connection may have, and which addresses every new connection is told of (ip-mptcp(8): limits, endpoints).
 * Names and numbers are those of the generic netlink family "mptcp_pm".
 */
import { AccessError } from "../../base/error.ts";
import { type Endpoint, equalEndpoints, ipAddressFromBytes, isIpv4, networkBytes } from "../../base/ip-address.ts";
import { GenericFamily } from "../../platform/netlink/generic.ts";
import { attribute, decodeAttributes, integer, nested, value } from "../../platform/netlink/message.ts";
import { SocketDiagnosticsClient } from "../../platform/netlink/socket-diagnostics.ts";
import { AF_INET, AF_INET6 } from "../../platform/socket-address.ts";
import type { SubflowPath } from "../../policy/path-manager/path-manager.ts";
import { type PathSamples, pathSamples } from "../../policy/path-manager/samples.ts";
import type { AcceptedPaths } from "../engine.ts";
import type { HostTools } from "../engine-control.ts";

const COMMAND = { addAddress: 1, deleteAddress: 2, getAddress: 3, setLimits: 5, getLimits: 6 } as const;
const ATTRIBUTE = { address: 1, acceptedAddresses: 2, subflows: 3 } as const;
const ADDRESS = { family: 1, id: 2, address4: 3, address6: 4, port: 5, flags: 6 } as const;
const FLAG_SIGNAL = 1;

/** An endpoint of the kernel's list. A port of 0: that of the initial subflow. */
interface ListedEndpoint extends Endpoint {
  readonly id: number;
}

export class KernelAcceptedPaths implements AcceptedPaths {
  readonly #family = new GenericFamily("mptcp_pm");
  readonly #diagnostics = new SocketDiagnosticsClient();
  readonly #host: HostTools;
  /** Apart: commands may come while a snapshot is under way. */
  readonly #commands = new SocketDiagnosticsClient();

  constructor(host: HostTools) {
    this.#host = host;
  }

  denyInitialJoins(): void {
    const setting = "net.mptcp.allow_join_initial_addr_port";
    if (this.#host.setSysctl(setting, () => "0")) return;
    throw new AccessError("NO_C_FLAG", "system", `this kernel has no ${setting}`);
  }

  get furtherSubflows(): number {
    const [limits] = this.#family.ask(COMMAND.getLimits, "one", "get subflow limits");
    return integer(limits?.attributes.get(ATTRIBUTE.subflows)) ?? 0;
  }

  set furtherSubflows(subflows: number) {
    const limit = attribute(ATTRIBUTE.subflows, value.uint32(subflows));
    this.#family.execute(COMMAND.setLimits, [limit], "set subflow limits");
  }

  /** One that a killed process left is replaced. */
  announce(end: Endpoint): void {
    this.withdraw(end);
    const { address, port } = end;
    const ipv4 = isIpv4(address);
    const description = nested(ATTRIBUTE.address, [
      attribute(ADDRESS.family, value.uint16(ipv4 ? AF_INET : AF_INET6)),
      attribute(ipv4 ? ADDRESS.address4 : ADDRESS.address6, networkBytes(address)),
      attribute(ADDRESS.flags, value.uint32(FLAG_SIGNAL)),
      ...(port === 0 ? [] : [attribute(ADDRESS.port, value.uint16(port))]),
    ]);
    this.#family.execute(COMMAND.addAddress, [description], "announce an address");
  }

  withdraw(end: Endpoint): void {
    for (const listed of this.#list().filter((candidate) => equalEndpoints(candidate, end))) {
      const ipv4 = isIpv4(listed.address);
      const description = nested(ATTRIBUTE.address, [
        attribute(ADDRESS.family, value.uint16(ipv4 ? AF_INET : AF_INET6)),
        attribute(ADDRESS.id, value.uint8(listed.id)),
        attribute(ipv4 ? ADDRESS.address4 : ADDRESS.address6, networkBytes(listed.address)),
      ]);
      this.#family.execute(COMMAND.deleteAddress, [description], "withdraw an address");
    }
  }

  #list(): ListedEndpoint[] {
    return this.#family.ask(COMMAND.getAddress, "all", "list announced addresses").flatMap(({ attributes }) => {
      const fields = decodeAttributes(attributes.get(ATTRIBUTE.address) ?? new Uint8Array());
      const bytes = fields.get(ADDRESS.address4) ?? fields.get(ADDRESS.address6);
      const address = bytes && ipAddressFromBytes(bytes);
      if (address === undefined) return [];
      return [{ address, port: integer(fields.get(ADDRESS.port)) ?? 0, id: integer(fields.get(ADDRESS.id)) ?? 0 }];
    });
  }

  async samples(): Promise<PathSamples> {
    return pathSamples(await this.#diagnostics.snapshot());
  }

  resetSubflow(ends: Pick<SubflowPath, "local" | "remote">): boolean {
    return this.#commands.destroy(ends);
  }

  close(): void {
    this.#diagnostics.close();
    this.#commands.close();
    this.#family.close();
  }
}
