import { expect } from "chai";
import { cpuSources, parseCpuStat, parseProcessStat } from "../../bench/cpu-meter.ts";

const MOUNTS = `proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
`;

describe("bench/cpu-meter", () => {
  it("reads the usage of a cgroup v2", () => {
    expect(parseCpuStat("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")).to.equal(1.5);
    expect(parseCpuStat("nr_periods 0\n")).to.be.NaN;
  });

  it("reads the ticks of a process whatever its name is", () => {
    const stat = (name: string) => `42 (${name}) S 1 42 42 0 -1 4194560 100 0 0 0 120 30 0 0 20 0 1 0 5 6 7`;
    expect(parseProcessStat(stat("node"))).to.equal(1.5);
    expect(parseProcessStat(stat("a) S 9 (b"))).to.equal(1.5);
  });

  it("prefers cgroup v2, then v1's cpuacct, and finds none where none is mounted", () => {
    expect(cpuSources(MOUNTS).map(({ root }) => root)).to.deep.equal([
      "/sys/fs/cgroup/unified",
      "/sys/fs/cgroup/cpuacct",
    ]);
    expect(cpuSources("proc /proc proc rw 0 0\n")).to.deep.equal([]);
  });
});
