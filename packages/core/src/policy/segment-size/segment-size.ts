/**
 * Segment-size rules: how many bytes one subflow is given at a time, where subflows have different segment sizes (RFC
 * 8041 section 3.8).
 */

export interface SegmentSizeRule {
  readonly name: string;
  /**
   * Payload of a full segment: `ownBytes` is the chosen subflow's, `allBytes` those of all that are established, that
   * one among them.
   */
  segmentBytes(ownBytes: number, allBytes: readonly number[]): number;
}

/** Each subflow fills its own segments: what is sent again over another one may have to be split. */
export const OWN_SEGMENT_SIZE: SegmentSizeRule = {
  name: "own",
  segmentBytes: (ownBytes) => ownBytes,
};

/** Every segment fits into those of every subflow. */
export const SMALLEST_SEGMENT_SIZE: SegmentSizeRule = {
  name: "smallest",
  segmentBytes: (ownBytes, allBytes) => Math.min(ownBytes, ...allBytes),
};

export const SEGMENT_SIZE_RULES: readonly SegmentSizeRule[] = [OWN_SEGMENT_SIZE, SMALLEST_SEGMENT_SIZE];
