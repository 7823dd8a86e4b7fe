import { AccessError } from "@hybrid-access/core/base/error";
import { clearEvent, EPOLL, Epoll, openEventDescriptor, signalEvent } from "@hybrid-access/core/platform/epoll";
import { check, ERRNO, errnoName, SystemError } from "@hybrid-access/core/platform/errno";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { readSysctl, writeSysctl } from "@hybrid-access/core/platform/sysctl";
import { TimerDescriptor } from "@hybrid-access/core/platform/timer";
import { expect } from "chai";

const NO_DESCRIPTOR = -1;

/** Runs `use` with the descriptors of `open`, and closes them whatever happens. */
function withDescriptors(open: () => number[], use: (...fds: number[]) => void): void {
  const fds = open();
  try {
    use(...fds);
  } finally {
    fds.forEach(closeDescriptor);
  }
}

describe("platform/errno", () => {
  it("passes what is no failure, and throws what is one as a typed error", () => {
    expect(check(0, "x")).to.equal(0);
    expect(check(7, "x")).to.equal(7);
    expect(() => check(-ERRNO.EACCES, "open /x"))
      .to.throw(SystemError, "open /x: EACCES")
      .that.includes({ code: "EACCES", errno: 13, fault: "system" });
  });

  it("names errno values, and those that it does not know by number", () => {
    for (const [name, errno] of Object.entries(ERRNO)) expect(errnoName(errno)).to.equal(name);
    expect(errnoName(9999)).to.equal("errno 9999");
  });

  it("gets the errno of the call that failed", () => {
    expect(closeDescriptor(NO_DESCRIPTOR)).to.equal(-9);
    expect(errnoName(9)).to.equal("EBADF");
  });
});

describe("platform/epoll", () => {
  it("tells an event with its tag, whatever its 32 bits", () => {
    for (const tag of [0, 1, 0x7fffffff, -1, -0x80000000]) {
      withDescriptors(
        () => [openEventDescriptor()],
        (fd = NO_DESCRIPTOR) => {
          const epoll = new Epoll(4);
          expect(epoll.add(fd, EPOLL.in, tag)).to.equal(0);
          expect(epoll.wait(0)).to.equal(0);
          signalEvent(fd);
          expect(epoll.wait(1000)).to.equal(1);
          expect([epoll.tag(0), epoll.bits(0)]).to.deep.equal([tag, EPOLL.in]);
          epoll.close();
        },
      );
    }
  });

  it("says an edge once, and a level until it is used up", () => {
    withDescriptors(
      () => [openEventDescriptor(), openEventDescriptor()],
      (edge = NO_DESCRIPTOR, level = NO_DESCRIPTOR) => {
        const epoll = new Epoll(4);
        epoll.add(edge, EPOLL.in | EPOLL.edgeTriggered, 1);
        epoll.add(level, EPOLL.in, 2);
        signalEvent(edge);
        signalEvent(level);
        expect(epoll.wait(0)).to.equal(2);
        expect(epoll.wait(0)).to.equal(1);
        expect(epoll.tag(0)).to.equal(2);
        clearEvent(level);
        expect(epoll.wait(0)).to.equal(0);
        epoll.close();
      },
    );
  });

  it("gives no more events at once than it has room for, and the rest at the next wait", () => {
    withDescriptors(
      () => Array.from({ length: 5 }, openEventDescriptor),
      (...fds) => {
        const epoll = new Epoll(3);
        for (const [tag, fd] of fds.entries()) {
          epoll.add(fd, EPOLL.in | EPOLL.edgeTriggered, tag);
          signalEvent(fd);
        }
        expect([epoll.wait(0), epoll.wait(0), epoll.wait(0)]).to.deep.equal([3, 2, 0]);
        epoll.close();
      },
    );
  });

  it("forgets a descriptor, and returns minus errno for what it cannot watch", () => {
    withDescriptors(
      () => [openEventDescriptor()],
      (fd = NO_DESCRIPTOR) => {
        const epoll = new Epoll(1);
        epoll.add(fd, EPOLL.in, 1);
        expect(epoll.add(fd, EPOLL.in, 1)).to.equal(-ERRNO.EEXIST);
        signalEvent(fd);
        expect(epoll.remove(fd)).to.equal(0);
        expect(epoll.wait(0)).to.equal(0);
        expect(epoll.remove(fd)).to.equal(-ERRNO.ENOENT);
        expect(epoll.add(NO_DESCRIPTOR, EPOLL.in, 1)).to.equal(-9);
        epoll.close();
      },
    );
  });
});

describe("platform/timer", () => {
  it("becomes readable when it expires, and once", () => {
    const timer = new TimerDescriptor();
    const epoll = new Epoll(1);
    try {
      epoll.add(timer.fd, EPOLL.in, 1);
      expect(epoll.wait(0)).to.equal(0);
      timer.arm(0.2);
      expect(epoll.wait(2000)).to.equal(1);
      timer.clear();
      expect(epoll.wait(0)).to.equal(0);
    } finally {
      epoll.close();
      timer.close();
    }
  });
});

describe("platform/sysctl", () => {
  it("reads a setting, and knows that one is not there", () => {
    expect(readSysctl("kernel.ostype")).to.equal("Linux");
    expect(readSysctl("net.no_such.setting")).to.equal(undefined);
  });

  it("names the setting that could not be written", () => {
    expect(() => writeSysctl("net.no_such.setting", "1"))
      .to.throw(AccessError, /^sysctl net\.no_such\.setting=1: .*ENOENT/)
      .that.includes({ code: "SYSCTL_REFUSED", fault: "system" });
  });
});
