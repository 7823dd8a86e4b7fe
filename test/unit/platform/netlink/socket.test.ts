import { FLAG, NETLINK_ROUTE, NetlinkClient, watchNetlink } from "@hybrid-access/core/platform/netlink/socket";
import { getOption, OPTION } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";
import { grantedReceiveBytes, socketsOpenedBy } from "../../../support/open-sockets.ts";

/** RTNLGRP_LINK. */
const GROUP_LINKS = 1;
const GET_LINK = 18;
/** struct ifinfomsg, all zero: every interface. */
const EVERY_LINK = new Uint8Array(16);

describe("a watch of netlink notifications", () => {
  it("has 1 MiB for those that wait, or what the host allows, doubled for the kernel's overhead", () => {
    const { result: watch, opened } = socketsOpenedBy(() => watchNetlink(NETLINK_ROUTE, [GROUP_LINKS], () => {}));
    const buffers = opened.map((fd) => getOption(fd, OPTION.receiveBuffer));
    watch.close();
    expect(buffers).to.deep.equal([grantedReceiveBytes(1024 * 1024)]);
  });
});

describe("a netlink request in parts", () => {
  it("brings what the same request brings at once", () => {
    const client = new NetlinkClient(NETLINK_ROUTE);
    const parts = Array.from(client.requestInParts(GET_LINK, FLAG.dump, EVERY_LINK, "list interfaces")).flat();
    const atOnce = client.request(GET_LINK, FLAG.dump, EVERY_LINK, "list interfaces");
    client.close();
    expect(parts.length).to.be.greaterThan(0);
    expect(parts.length).to.equal(atOnce.length);
  });

  it("ends when the client is closed between two parts, and reads no other descriptor", () => {
    const client = new NetlinkClient(NETLINK_ROUTE);
    const parts = client.requestInParts(GET_LINK, FLAG.dump, EVERY_LINK, "list interfaces");
    expect(parts.next().done).to.equal(false);
    client.close();
    expect(parts.next()).to.deep.equal({ done: true, value: undefined });
  });
});
