import {
  LEAST_SEGMENT_BYTES,
  PathSegmentSize,
  RETRY_MS,
  SAFE_SEGMENT_BYTES,
} from "@hybrid-access/core/stack/tcp/path-segment-size";
import { expect } from "chai";

describe("stack/tcp: the segment size of a path", () => {
  it("is tried again in full 10 minutes after a router has said that it is too large, not before", () => {
    const size = new PathSegmentSize(1460);
    expect(size.onTooBig(1400, 5000)).to.equal(true);
    expect(size.onProgress(5000 + RETRY_MS - 1)).to.equal(false);
    expect(size.bytes).to.equal(1400);
    expect(size.onProgress(605_000)).to.equal(true);
    expect(size.bytes).to.equal(1460);
    expect(size.onProgress(2 * RETRY_MS)).to.equal(false);
  });

  it("has its 10 minutes anew with every further limit", () => {
    const size = new PathSegmentSize(1460);
    size.onTimeout(2, 1460, 0);
    expect(size.bytes).to.equal(SAFE_SEGMENT_BYTES);
    size.onTimeout(2, SAFE_SEGMENT_BYTES, 500_000);
    expect(size.bytes).to.equal(LEAST_SEGMENT_BYTES);
    expect(size.onProgress(RETRY_MS)).to.equal(false);
    expect(size.onProgress(500_000 + RETRY_MS)).to.equal(true);
    expect(size.bytes).to.equal(1460);
  });

  it("is not believed to be smaller than what fits through everything in use", () => {
    const size = new PathSegmentSize(1460);
    size.onTooBig(100, 0);
    expect(size.bytes).to.equal(LEAST_SEGMENT_BYTES);
    expect(size.onTooBig(LEAST_SEGMENT_BYTES, 1)).to.equal(false);
  });
});
