/** Ends of connections with two subflows: of one direction, and of everything at once (RFC 8684 sections 3.3.3 and 3.5). */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { expect } from "chai";
import { waitFor } from "../conformance/bench.ts";
import { hashOf, pattern } from "../lab/stream.ts";
import type { Cell } from "./matrix.ts";
import { otherSide, SECOND_ID, SIDES, tokenOf, withTwoSubflows } from "./steps.ts";

const NOWHERE = { address: ipAddress("192.0.2.1"), port: 0 };

export const ENDING_CELLS: readonly Cell[] = SIDES.flatMap((side): Cell[] => [
  {
    name: `half-close by the ${side}: the other direction goes on, and ends by itself`,
    run: (setting) =>
      withTwoSubflows(setting, async (ends) => {
        const [early, late] = [ends[side], ends[otherSide(side)]];
        await early.writeAll(Buffer.from("question"));
        early.shutdownWrite();
        const { bytes: question, end: questionEnd } = await late.read();
        expect({ question: `${question}`, questionEnd }).to.deep.equal({ question: "question", questionEnd: "end" });
        const answer = pattern(300_000, 5);
        const reading = early.read();
        await late.writeAll(answer);
        late.shutdownWrite();
        const { bytes, end } = await reading;
        expect(end).to.equal("end");
        expect(hashOf(bytes)).to.equal(hashOf(answer));
      }),
  },
  {
    name: `fast close by the ${side} (MP_FASTCLOSE): an error at the other end, and nothing is left of it`,
    run: (setting) =>
      withTwoSubflows(setting, async (ends) => {
        const [from, to] = [ends[side], ends[otherSide(side)]];
        const announce = { type: "announce", token: tokenOf(to), localId: SECOND_ID, local: NOWHERE } as const;
        from.reset();
        expect((await to.read()).end).to.equal("ECONNRESET");
        to.close();
        await waitFor(setting.bench, "the connection to be gone", () => !to.host.paths.execute(announce));
      }),
  },
]);
