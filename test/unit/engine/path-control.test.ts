import { concatBytes, fromHex, toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { KernelPathControl, type PathManagerFamily } from "@hybrid-access/core/engine/kernel/path-control";
import { SystemError } from "@hybrid-access/core/platform/errno";
import type { GenericMessage } from "@hybrid-access/core/platform/netlink/generic";
import { AttributeList, attribute, value } from "@hybrid-access/core/platform/netlink/message";
import type { WatchOptions } from "@hybrid-access/core/platform/netlink/socket";
import type { PathCommand, PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import fc from "fast-check";

const TOKEN = 0x01020304;
const LOCAL = { address: ipAddress("10.1.2.2"), port: 40_000 };
const REMOTE = { address: ipAddress("10.9.9.9"), port: 5124 };

/** A kernel that records commands, and says what the test wants said. */
class FakeFamily implements PathManagerFamily {
  readonly commands: { command: number; attributes: string }[] = [];
  refusal: Error | undefined;
  say: (...messages: GenericMessage[]) => void = () => {};

  watch(group: string, onMessages: (messages: GenericMessage[]) => void, { ignored = [] }: WatchOptions) {
    expect(group).to.equal("mptcp_pm_events");
    this.say = (...messages) => onMessages(messages.filter(({ command }) => !ignored.includes(command)));
    return { close: () => {} };
  }

  execute(command: number, attributes: readonly Uint8Array[]): void {
    if (this.refusal !== undefined) throw this.refusal;
    this.commands.push({ command, attributes: attributes.map(toHex).join(" ") });
  }

  close(): void {}
}

const TOKEN_ATTRIBUTE: [number, Uint8Array] = [1, value.uint32(TOKEN)];
/** Source and destination with ports in network byte order, and both address identifiers. */
const PATH_ATTRIBUTES: [number, Uint8Array][] = [
  [3, value.uint8(2)],
  [4, value.uint8(0)],
  [5, networkBytes(LOCAL.address)],
  [7, networkBytes(REMOTE.address)],
  [9, fromHex("9c40")],
  [10, fromHex("1404")],
];
const PATH = { localId: 2, remoteId: 0, local: LOCAL, remote: REMOTE };

describe("engine/kernel/path-control", () => {
  let family: FakeFamily;
  let control: KernelPathControl;
  let events: PathEvent[];

  beforeEach(() => {
    family = new FakeFamily();
    control = new KernelPathControl(family);
    events = [];
    control.onEvent((event) => events.push(event));
  });

  function message(command: number, ...attributes: [number, Uint8Array][]): GenericMessage {
    return { command, attributes: new AttributeList(concatBytes(attributes.map((each) => attribute(...each)))) };
  }

  function say(command: number, ...attributes: [number, Uint8Array][]): void {
    family.say(message(command, ...attributes));
  }

  it("reads every kind of event of Linux's mptcp_pm", () => {
    const flags = value.uint16(1 | 2);
    say(1, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES, [18, value.uint8(0)]);
    say(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES, [13, flags]);
    say(10, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES, [11, value.uint8(1)]);
    say(11, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES, [12, value.uint8(111)], [16, value.uint32(3)]);
    say(13, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES, [11, value.uint8(0)]);
    say(6, TOKEN_ATTRIBUTE, [4, value.uint8(5)], [7, networkBytes(REMOTE.address)]);
    say(7, TOKEN_ATTRIBUTE, [4, value.uint8(5)]);
    say(3, TOKEN_ATTRIBUTE);
    expect(events).to.deep.equal([
      { type: "connectionCreated", token: TOKEN, ...PATH, serverSide: false, denyJoinInitial: false },
      { type: "connectionEstablished", token: TOKEN, ...PATH, serverSide: true, denyJoinInitial: true },
      { type: "subflowEstablished", token: TOKEN, ...PATH, backup: true },
      { type: "subflowClosed", token: TOKEN, ...PATH, error: 111, resetReason: 3 },
      { type: "subflowPriority", token: TOKEN, ...PATH, backup: false },
      { type: "addressAnnounced", token: TOKEN, remoteId: 5, remote: { address: REMOTE.address, port: 0 } },
      { type: "addressRemoved", token: TOKEN, remoteId: 5 },
      { type: "connectionClosed", token: TOKEN },
    ]);
    expect(control.unknownEvents).to.equal(0);
  });

  it("skips and counts what it does not know, and events that lack what they need", () => {
    say(99, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES);
    say(10, TOKEN_ATTRIBUTE);
    say(2, ...PATH_ATTRIBUTES);
    say(6, TOKEN_ATTRIBUTE, [7, Uint8Array.of(1, 2, 3)]);
    expect(control.unknownEvents).to.equal(4);
    // Listeners are no connections: they are known, and not told.
    say(15, [5, networkBytes(LOCAL.address)]);
    say(16, [5, networkBytes(LOCAL.address)]);
    expect(control.unknownEvents).to.equal(4);
    expect(events).to.deep.equal([]);
    say(3, TOKEN_ATTRIBUTE);
    expect(events).to.have.length(1);
  });

  describe("that may tell events together", () => {
    const OTHER: [number, Uint8Array] = [1, value.uint32(TOKEN + 1)];

    beforeEach(() => {
      control = new KernelPathControl(family, 4);
      control.onEvent((event) => events.push(event));
    });

    it("tells nothing of a connection that has begun and ended meanwhile", () => {
      family.say(
        message(1, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES),
        message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES),
        message(2, OTHER, ...PATH_ATTRIBUTES),
        message(10, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES),
        message(3, TOKEN_ATTRIBUTE),
      );
      expect(events.map(({ type, token }) => [type, token])).to.deep.equal([["connectionEstablished", TOKEN + 1]]);
    });

    describe("many of them", () => {
      const BUSY = 32;
      const crowd = () =>
        Array.from({ length: BUSY }, (_, index) => message(7, [1, value.uint32(1 + index)], [4, value.uint8(1)]));
      const told = () => events.filter(({ token }) => token >= TOKEN).map(({ type }) => type);

      it("tells of a connection that has just begun the next time, whether anything comes then or not", () => {
        family.say(...crowd(), message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES));
        expect(told()).to.deep.equal([]);
        family.say();
        expect(told()).to.deep.equal(["connectionEstablished"]);
        family.say(...crowd());
        expect(told()).to.deep.equal(["connectionEstablished"]);
      });

      it("tells nothing of one that has ended by then, and all the rest in its order", () => {
        family.say(...crowd(), message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES), message(2, OTHER, ...PATH_ATTRIBUTES));
        family.say(...crowd(), message(10, OTHER, ...PATH_ATTRIBUTES), message(3, TOKEN_ATTRIBUTE));
        expect(told()).to.deep.equal(["connectionEstablished", "subflowEstablished"]);
        expect(events).to.have.length(2 * BUSY + 2);
      });

      it("keeps what waits when the buffer is used again", () => {
        const attributes = concatBytes([TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES].map((each) => attribute(...each)));
        family.say(...crowd(), { command: 2, attributes: new AttributeList(attributes) });
        attributes.fill(0);
        family.say();
        expect(events.at(-1)).to.include({ type: "connectionEstablished", token: TOKEN });
      });
    });

    it("tells all the rest in its order, whatever comes together", () => {
      const [established, closed] = [2, 3];
      const happening = fc.tuple(fc.constantFrom(established, closed, 7), fc.nat(3));
      fc.assert(
        fc.property(fc.array(happening, { maxLength: 20 }), (all) => {
          const wanted = all.filter(([, token], place) => {
            const ofToken = (from: number, to: number, types: readonly number[]) =>
              all.findIndex(([type, whose], at) => at >= from && at <= to && whose === token && types.includes(type));
            const begin = all.findLastIndex(
              ([type, whose], at) => at <= place && whose === token && type === established,
            );
            const end = ofToken(begin + 1, all.length, [established, closed]);
            return begin < 0 || end < place || all[end]?.[0] !== closed;
          });
          events = [];
          family.say(...all.map(([type, token]) => message(type, [1, value.uint32(token)], ...PATH_ATTRIBUTES)));
          expect(events.map(({ token }) => token)).to.deep.equal(wanted.map(([, token]) => token));
        }),
      );
    });

    it("tells the end of one whose begin it has told, and the begin of its token's next holder", () => {
      family.say(message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES));
      family.say(
        message(3, TOKEN_ATTRIBUTE),
        message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES),
        message(3, TOKEN_ATTRIBUTE),
        message(2, TOKEN_ATTRIBUTE, ...PATH_ATTRIBUTES),
      );
      const [established, closed] = ["connectionEstablished", "connectionClosed"];
      expect(events.map(({ type }) => type)).to.deep.equal([established, closed, established]);
    });
  });

  const token = "08000400" + "04030201";
  const remoteAddress = "1c000680" + "0600010002000000" + "080003000a090909" + "0600050004140000";
  const local = (type: string, rest: string) =>
    [type, "0600010002000000", "0500020002000000", "080003000a010202", rest].join("");
  const port = "06000500409c0000";
  const to = { interfaceIndex: 7, remote: REMOTE };
  const CREATE = { type: "createSubflow", token: TOKEN, localId: 2, local: LOCAL.address, ...to } as const;
  const COMMANDS: readonly (readonly [PathCommand, number, string])[] = [
    [{ ...CREATE, backup: false }, 10, `${token} ${local("24000180", "0800070007000000")} ${remoteAddress}`],
    [
      { ...CREATE, backup: true },
      10,
      `${token} ${local("2c000180", "08000600040000000800070007000000")} ${remoteAddress}`,
    ],
    [
      { type: "destroySubflow", token: TOKEN, localId: 2, local: LOCAL, remote: REMOTE },
      11,
      `${token} ${local("24000180", port)} ${remoteAddress}`,
    ],
    [
      { type: "setPriority", token: TOKEN, localId: 2, local: LOCAL, remote: REMOTE, backup: true },
      7,
      `${token} ${local("2c000180", `${port}0800060004000000`)} ${remoteAddress}`,
    ],
    [
      { type: "announce", token: TOKEN, localId: 2, local: LOCAL },
      8,
      `${token} ${local("2c000180", `${port}0800060001000000`)}`,
    ],
    [{ type: "remove", token: TOKEN, localId: 2 }, 9, `${token} 0500050002000000`],
  ];

  for (const [command, number, attributes] of COMMANDS) {
    it(`writes ${command.type} as Documentation/netlink/specs/mptcp_pm.yaml has it`, () => {
      expect(control.execute(command)).to.equal(true);
      expect(family.commands).to.deep.equal([{ command: number, attributes }]);
    });
  }

  it("returns false when the kernel refuses, and hides no other error", () => {
    family.refusal = new SystemError(22, "remove");
    expect(control.execute({ type: "remove", token: TOKEN, localId: 2 })).to.equal(false);
    family.refusal = new RangeError("a defect");
    expect(() => control.execute({ type: "remove", token: TOKEN, localId: 2 })).to.throw(RangeError);
  });
});
