import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { Question } from "@hybrid-access/core/engine/userspace/messages";
import { RemoteAcceptedPaths } from "@hybrid-access/core/engine/userspace/remote-accepted-paths";
import { RemotePathControl } from "@hybrid-access/core/engine/userspace/remote-paths";
import { WorkerQuestions } from "@hybrid-access/core/engine/userspace/worker-questions";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { VirtualTime } from "../../../support/virtual-time.ts";

const ENDS = {
  localId: 0,
  remoteId: 0,
  local: { address: ipAddress("10.1.1.2"), port: 40_000 },
  remote: { address: ipAddress("10.9.9.9"), port: 5124 },
};

function established(token: number): PathEvent {
  return { type: "connectionEstablished", token, ...ENDS, serverSide: false, denyJoinInitial: false };
}

describe("engine/userspace path control over threads", () => {
  let sent: { number: number; question: Question }[];
  let questions: WorkerQuestions;

  beforeEach(() => {
    sent = [];
    questions = new WorkerQuestions(2, (number, question) => sent.push({ number, question }));
  });

  it("a command is done when the worker that has the connection has done it", async () => {
    const control = new RemotePathControl(questions, 2);
    const done = control.execute({ type: "remove", token: 7, localId: 2 });
    const refused = control.execute({ type: "remove", token: 8, localId: 2 });
    const [first, second] = sent;
    for (const answer of [false, true]) questions.onAnswer(first?.number ?? 0, answer);
    for (const answer of [false, false]) questions.onAnswer(second?.number ?? 0, answer);
    expect([await done, await refused]).to.deep.equal([true, false]);
  });

  it("a question that nobody answers has no answers after 2 s, and one more than 4096 has none at once", async () => {
    const time = new VirtualTime();
    try {
      const open = Array.from({ length: 4096 }, async () => await questions.ask({ about: "subflows" }));
      expect(await questions.ask({ about: "subflows" })).to.deep.equal([]);
      expect(sent.length).to.equal(4096);
      for (const { number } of sent.slice(1)) for (const worker of [0, 1]) questions.onAnswer(number, [worker]);
      let isAnswered = false;
      void open[0]?.then(() => {
        isAnswered = true;
      });
      await time.pass(1999);
      expect(isAnswered).to.equal(false);
      await time.pass(1);
      const answers = await Promise.all(open);
      expect(answers[0]).to.deep.equal([]);
      expect(answers.slice(1).every((each) => each.length === 2)).to.equal(true);
    } finally {
      time.end();
    }
  });

  it("the connections of a worker that has died count as closed, and no others", () => {
    const control = new RemotePathControl(questions, 2);
    const heard: PathEvent[] = [];
    control.onEvent((event) => heard.push(event));
    control.onEvents(0, [established(1), established(2), { type: "connectionClosed", token: 1 }]);
    control.onEvents(1, [established(3)]);
    heard.length = 0;
    control.onWorkerDeath(0);
    control.onWorkerDeath(0);
    expect(heard).to.deep.equal([{ type: "connectionClosed", token: 2 }]);
  });

  it("announced addresses have the first free identifier, and at most 255 are told", () => {
    let told = 0;
    const paths = new RemoteAcceptedPaths({ questions, onRules: () => told++, serves: ({ port }) => port !== 1 });
    const end = (port: number) => ({ address: ipAddress("10.9.9.9"), port });
    expect(() => paths.announce(end(1))).to.throw(/EADDRNOTAVAIL/);
    for (let port = 1000; port < 1255; port++) paths.announce(end(port));
    expect(() => paths.announce(end(2000))).to.throw(/ENOBUFS/);
    paths.withdraw(end(1003));
    paths.announce(end(2000));
    expect(paths.rules.announced.find(({ end: { port } }) => port === 2000)?.addressId).to.equal(4);
    expect(told).to.equal(257);
    paths.furtherSubflows = 2;
    expect(paths.rules.mostSubflows).to.equal(3);
  });
});
