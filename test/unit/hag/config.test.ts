import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadHagConfig } from "@hybrid-access/hag/config";
import { expect } from "chai";

/** What is said of a configuration, line by line. */
function complaints(yaml: string): string[] {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-config-"));
  const config = join(directory, "hag.yaml");
  writeFileSync(config, yaml);
  try {
    loadHagConfig({ config, set: [] });
    return [];
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, "").split("\n");
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("the configuration of hag.yaml", () => {
  it("has what is wrong between settings told beside what is wrong in them", () => {
    expect(
      complaints(`client: [ 10.1.0.0/16 ]
clients: [ 10.1.0.0/33 ]
listen: [ { address: "::", port: 5124 }, { address: nowhere } ]
announce: [ { address: 10.9.9.9, port: 5124 } ]
engine: userspace
farm:
  steering: steer
  node: A
  virtualAddresses: [ 10.9.9.9, 10.9.9.8 ]
  addresses: [ 10.8.0.11 ]
  network: [ 10.7.0.0/24 ]
`),
    ).to.deep.equal([
      "hag.yaml:1:1: client: unknown key client; did you mean clients?",
      'hag.yaml:2:12: clients[0]: expected an address or prefix, such as 10.0.0.0/8, found "10.1.0.0/33"',
      'hag.yaml:3:53: listen[1].address: expected an IP address, found "nowhere"',
      "hag.yaml:4:40: announce[0].port: the gateway listens on port 5124 itself: leave it out",
      'hag.yaml:8:9: farm.node: expected a name (1 to 32 of a to z, 0 to 9 and -), found "A"',
      "hag.yaml:9:21: farm.virtualAddresses: there can be one of each family",
      "hag.yaml:11:12: farm.network: 10.8.0.11 lies outside",
    ]);
  });

  it("refuses a scheduler where the kernel has its own, unless it is left to it", () => {
    const text = "clients: []\n";
    expect(complaints(`${text}scheduler: round-robin\n`)).to.deep.equal([
      "hag.yaml:2:12: scheduler: Linux has one scheduler: leave it out, or take engine: userspace",
    ]);
    expect(complaints(`${text}engine: kernel\nscheduler: default\n`)).to.deep.equal([]);
    expect(complaints(`${text}engine: userspace\nscheduler: round-robin\n`)).to.deep.equal([]);
    expect(complaints(`${text}engine: userspace\nscheduler: fastest\n`)).to.have.length(1);
  });

  it("has nothing told that only follows from what could not be read", () => {
    expect(
      complaints(`clients: []
engine: kernal
farm:
  steering: steer
  virtualAddresses: [ 10.9.9 ]
  addresses: [ "fd99::9", 10.8.0 ]
  network: [ "fd98::/129" ]
`).map((line) => line.split(": ")[1]),
    ).to.deep.equal(["engine", "farm.virtualAddresses[0]", "farm.addresses[1]", "farm.network[0]"]);
    expect(complaints("clients: []\nfarm: steer\n")).to.have.length(1);
    expect(complaints("clients: []\nfarm: { sterring: steer }\n")).to.have.length(1);
  });
});
