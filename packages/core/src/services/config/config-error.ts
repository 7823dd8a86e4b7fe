/** What is wrong with a configuration, and where. */
import { AccessError } from "../../base/error.ts";

export interface ConfigIssue {
  /** "uplinks[1].cost". */
  readonly key: string;
  readonly message: string;
  readonly place: Place;
}

/** Where a value came from. */
export interface Place {
  /** "hcpe.yaml:12:3", "environment HCPE_WORKERS", "flag --set workers". */
  readonly text: string;
  /** Position in the file; issues are told in this order, those from elsewhere at the end. */
  readonly offset: number;
}

/** The environment or the command line. */
export function placeOutsideFile(text: string): Place {
  return { text, offset: Number.POSITIVE_INFINITY };
}

/** The configuration cannot be used; `issues` has everything that is wrong with it. */
export class ConfigError extends AccessError {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    const ordered = issues.toSorted((left, right) => compareOffsets(left.place.offset, right.place.offset));
    const lines = ordered.map(({ key, message, place }) => `${place.text}: ${key === "" ? "" : `${key}: `}${message}`);
    super("CONFIG_INVALID", "configuration", lines.join("\n"));
    this.name = "ConfigError";
    this.issues = ordered;
  }
}

/** Infinity minus itself is no number. */
function compareOffsets(left: number, right: number): number {
  return left === right ? 0 : left - right;
}
