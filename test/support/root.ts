/** Loaded by mocha before everything else: the tests that build a lab need root. */
import { becomeRoot } from "../lab/root.ts";

becomeRoot();
