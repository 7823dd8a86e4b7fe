import { SettledLook } from "@hybrid-access/hcpe/settled-look";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

describe("hcpe/settled-look", () => {
  let time: VirtualTime;
  let look: SettledLook;
  /** When it looked, since the test began. */
  let looks: number[];
  let failures: unknown[];
  let fails: boolean;

  beforeEach(() => {
    time = new VirtualTime();
    const beganMs = time.nowMs;
    looks = [];
    failures = [];
    fails = false;
    look = new SettledLook({
      look() {
        looks.push(time.nowMs - beganMs);
        if (fails) throw new Error("ENOBUFS");
      },
      onFailure: (error) => failures.push(error),
    });
  });
  afterEach(() => {
    look.stop();
    time.end();
  });

  it("looks once at all that comes within 20 ms, 20 ms after the first", async () => {
    for (let count = 0; count < 20; count++) {
      look.notice();
      await time.pass(1);
    }
    await time.pass(1000);
    look.notice();
    await time.pass(1000);
    expect(looks).to.deep.equal([20, 1040]);
  });

  it("looks again each second until it does not fail, and says each time why it did", async () => {
    fails = true;
    look.notice();
    await time.pass(3019);
    expect(looks).to.deep.equal([20, 1020, 2020]);
    expect(failures).to.have.length(3);
    fails = false;
    await time.pass(10_000);
    expect(looks).to.deep.equal([20, 1020, 2020, 3020]);
    expect(failures).to.have.length(3);
  });

  it("tells of the first change that was not looked at, also when looks have failed since", async () => {
    expect(look.takeNoticedMs()).to.equal(undefined);
    const noticedMs = time.nowMs;
    fails = true;
    look.notice();
    await time.pass(500);
    look.notice();
    await time.pass(1000);
    expect(look.takeNoticedMs()).to.equal(noticedMs);
    expect(look.takeNoticedMs()).to.equal(undefined);
  });

  it("does not look after it was stopped", async () => {
    look.notice();
    look.stop();
    await time.pass(1000);
    expect(looks).to.deep.equal([]);
  });
});
