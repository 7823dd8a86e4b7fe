import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { createLogger } from "@hybrid-access/core/services/log";
import { GatewayHealth } from "@hybrid-access/hcpe/gateway-health";
import type { InfoAnswer } from "@hybrid-access/hcpe/probe";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

const LOG = createLogger("test", "silent" as "error");
const GATEWAY = { address: ipAddress("203.0.113.1"), port: 5124 };
const ANSWERED: InfoAnswer = { outcome: "answered", load: undefined };
const FAILED: InfoAnswer = { outcome: "failed", reason: "no answer in time", heard: false };

describe("hcpe/gateway-health", () => {
  let time: VirtualTime;
  let health: GatewayHealth;
  /** When the gateway was asked, since the test began. */
  let asked: number[];
  /** What it answers, and after how long. */
  let answer: InfoAnswer;
  let answerMs: number;

  beforeEach(() => {
    time = new VirtualTime();
    const beganMs = time.nowMs;
    asked = [];
    answer = ANSWERED;
    answerMs = 0;
    health = new GatewayHealth({
      places: [{ name: null, endpoint: GATEWAY, used: true }],
      memory: GatewayHealth.createMemory(1),
      sourcesFor: () => [undefined],
      checkMs: () => 30_000,
      asking: {
        async info() {
          asked.push(time.nowMs - beganMs);
          if (answerMs > 0) await new Promise((resolve) => setTimeout(resolve, answerMs));
          return answer;
        },
        reaches: async () => false,
      },
      log: LOG,
    });
    health.start();
  });
  afterEach(() => {
    health.stop();
    time.end();
  });

  const isUp = () => health.status()[0]?.up;

  it("is not asked for doubts within 1 s after a good answer, and again from then on", async () => {
    for (let tenths = 0; tenths < 31; tenths++) {
      health.onDoubtful(0, "no answer to a connection");
      await time.pass(100);
    }
    expect(asked).to.deep.equal([0, 1000, 2000, 3000]);
    expect(isUp()).to.equal(true);
  });

  it("is asked once at a time, however many connections doubt it", async () => {
    answerMs = 1500;
    for (let tenths = 0; tenths < 15; tenths++) {
      health.onDoubtful(0, "no answer to a connection");
      await time.pass(100);
    }
    expect(asked).to.deep.equal([0]);
  });

  it("is asked every second after the last answer while it is down, without end", async () => {
    answer = FAILED;
    health.onDown(0, "no answer in time");
    await time.pass(3_600_000);
    expect(asked.slice(0, 4)).to.deep.equal([0, 1000, 2000, 3000]);
    expect(asked).to.have.length(3601);
    expect(isUp()).to.equal(false);
    answer = ANSWERED;
    await time.pass(120_000);
    expect(isUp()).to.equal(true);
  });
});
