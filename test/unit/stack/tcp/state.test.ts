import { AccessError } from "@hybrid-access/core/base/error";
import { type StateEvent, type TcpState, TRANSITIONS, transition } from "@hybrid-access/core/stack/tcp/state";
import { expect } from "chai";
import fc from "fast-check";

/** The arrows of RFC 9293 figure 5, as one reads them off the figure, box by box. */
const FIGURE_5: readonly (readonly [TcpState, StateEvent, TcpState])[] = [
  ["closed", "passiveOpen", "listen"],
  ["closed", "activeOpen", "synSent"],
  ["listen", "receiveSyn", "synReceived"],
  ["listen", "close", "closed"],
  ["synSent", "close", "closed"],
  ["synSent", "receiveSyn", "synReceived"],
  ["synSent", "receiveSynAck", "established"],
  ["synReceived", "receiveAckOfSyn", "established"],
  ["synReceived", "close", "finWait1"],
  ["established", "close", "finWait1"],
  ["established", "receiveFin", "closeWait"],
  ["finWait1", "receiveAckOfFin", "finWait2"],
  ["finWait1", "receiveFin", "closing"],
  ["finWait2", "receiveFin", "timeWait"],
  ["closing", "receiveAckOfFin", "timeWait"],
  ["closeWait", "close", "lastAck"],
  ["lastAck", "receiveAckOfFin", "closed"],
  ["timeWait", "timeout", "closed"],
];

describe("stack/tcp/state: the table", () => {
  it("has the arrows of RFC 9293 figure 5 and, but for aborts, no others", () => {
    const arrows = Object.entries(TRANSITIONS).flatMap(([state, row]) =>
      Object.entries(row).map(([event, next]) => [state, event, next]),
    );
    const ordinary = arrows.filter(([, event]) => event !== "abort");
    expect(ordinary).to.have.deep.members(FIGURE_5.map((arrow) => Array.from(arrow)));
    const aborts = arrows.filter(([, event]) => event === "abort");
    expect(aborts.map(([, , next]) => next)).to.deep.equal(Array(10).fill("closed"));
  });

  it("throws for what has no arrow, and says whose fault it is", () => {
    const states = fc.constantFrom(...(Object.keys(TRANSITIONS) as TcpState[]));
    const events = fc.constantFrom<StateEvent>("close", "receiveFin", "receiveSyn", "timeout", "abort", "activeOpen");
    fc.assert(
      fc.property(states, events, (state, event) => {
        const next = TRANSITIONS[state][event];
        if (next !== undefined) {
          expect(transition(state, event)).to.equal(next);
          return;
        }
        expect(() => transition(state, event)).to.throw(AccessError, `no ${event} in the TCP state ${state}`);
      }),
    );
  });
});
