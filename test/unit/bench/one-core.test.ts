import { expect } from "chai";
import { kibibytes } from "../../bench/memory.ts";
import { firstAllowedCpu, protocolCounter } from "../../bench/one-core.ts";

describe("bench/one-core", () => {
  it("finds the first CPU that a process may use", () => {
    expect(firstAllowedCpu("Name:\tnode\nCpus_allowed:\tc\nCpus_allowed_list:\t2-3,7\n")).to.equal(2);
  });

  it("finds a counter of netstat by its group and name", () => {
    const netstat = "TcpExt: SyncookiesSent TFO\nTcpExt: 1 2\nMPTcpExt: MPCapableSYNRX TFO\nMPTcpExt: 3 4\n";
    expect(protocolCounter(netstat, "TcpExt", "TFO")).to.equal(2);
    expect(protocolCounter(netstat, "MPTcpExt", "TFO")).to.equal(4);
    expect(protocolCounter(netstat, "MPTcpExt", "Missing")).to.be.NaN;
  });

  it("finds a line of meminfo", () => {
    expect(kibibytes("SlabX:   9 kB\nSlab:      2 kB\n", "Slab")).to.equal(2048);
    expect(kibibytes("", "Slab")).to.be.NaN;
  });
});
