/** Middleboxes as data: what a path is to have, before any of them is made. */
import type { Random } from "../../base/random.ts";
import { Coalescer, type CoalescerOptions } from "./coalescer.ts";
import { EarlyAcker } from "./early-acker.ts";
import { Firewall, type FirewallOptions } from "./firewall.ts";
import type { Middlebox } from "./middlebox.ts";
import { MtuLimit, type MtuLimitOptions } from "./mtu-limit.ts";
import { Nat, type NatOptions } from "./nat.ts";
import { OptionStripper, type OptionStripperOptions } from "./option-stripper.ts";
import { PayloadModifier, type PayloadModifierOptions } from "./payload-modifier.ts";
import { SequenceRewriter, type SequenceRewriterOptions } from "./sequence-rewriter.ts";
import { Splitter, type SplitterOptions } from "./splitter.ts";
import { SynDropper } from "./syn-dropper.ts";

export type BoxPlan =
  | ({ readonly box: "coalescer" } & CoalescerOptions)
  | { readonly box: "earlyAcker" }
  | ({ readonly box: "firewall" } & FirewallOptions)
  | ({ readonly box: "mtuLimit" } & MtuLimitOptions)
  | ({ readonly box: "nat" } & NatOptions)
  | ({ readonly box: "optionStripper" } & OptionStripperOptions)
  | ({ readonly box: "payloadModifier" } & PayloadModifierOptions)
  | ({ readonly box: "sequenceRewriter" } & SequenceRewriterOptions)
  | ({ readonly box: "splitter" } & SplitterOptions)
  | { readonly box: "synDropper" };

export function makeBox(plan: BoxPlan, random: Random): Middlebox {
  switch (plan.box) {
    case "coalescer":
      return new Coalescer(plan);
    case "earlyAcker":
      return new EarlyAcker();
    case "firewall":
      return new Firewall(plan);
    case "mtuLimit":
      return new MtuLimit(plan);
    case "nat":
      return new Nat(plan);
    case "optionStripper":
      return new OptionStripper(plan);
    case "payloadModifier":
      return new PayloadModifier(plan);
    case "sequenceRewriter":
      return new SequenceRewriter(plan, random);
    case "splitter":
      return new Splitter(plan);
    case "synDropper":
      return new SynDropper();
  }
}
