import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { type CarriedConnection, ConnectionList, type ConnectionQuestion } from "@hybrid-access/hcpe/connection-list";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

const CONNECTION: CarriedConnection = {
  client: { address: ipAddress("192.168.1.2"), port: 50_000 },
  destination: { address: ipAddress("192.0.2.1"), port: 80 },
  outside: undefined,
};

describe("hcpe/connection-list", () => {
  let time: VirtualTime;
  let list: ConnectionList;
  let questions: ConnectionQuestion[];

  beforeEach(() => {
    time = new VirtualTime();
    list = new ConnectionList();
    questions = [];
  });
  afterEach(() => time.end());

  /** Asks two workers; the answer, once there is one. */
  function ask(): { answer?: readonly CarriedConnection[] } {
    const asked: { answer?: readonly CarriedConnection[] } = {};
    const pool = { broadcast: (message: unknown) => void questions.push(message as ConnectionQuestion) };
    void list.ask(pool, 2, 100).then((answer) => {
      asked.answer = answer;
    });
    return asked;
  }
  const answer = (question: number) => list.onAnswer({ type: "connections", question, connections: [CONNECTION] });

  it("is there as soon as every worker has answered", async () => {
    const asked = ask();
    answer(questions[0]?.question ?? 0);
    await time.pass(1);
    expect(asked.answer).to.equal(undefined);
    answer(questions[0]?.question ?? 0);
    await time.pass(1);
    expect(asked.answer).to.have.length(2);
  });

  it("lacks the connections of a worker that has not answered within 2 s, whose answer does not count any more", async () => {
    const first = ask();
    answer(questions[0]?.question ?? 0);
    await time.pass(1999);
    expect(first.answer).to.equal(undefined);
    await time.pass(1);
    expect(first.answer).to.deep.equal([CONNECTION]);
    const second = ask();
    answer(questions[0]?.question ?? 0);
    answer(questions[1]?.question ?? 0);
    await time.pass(2000);
    expect(first.answer).to.have.length(1);
    expect(second.answer).to.deep.equal([CONNECTION]);
  });
});
