"""Measures pmtr beside other supervisors, in one run; ci/bench starts it.

Every measurement is made in rounds, in which the supervisors take turns, so
that whatever else the machine does hits all of them; where they only wait, all
of them do at once. The table has the median of the rounds, its ratio to pmtr's,
and how far the rounds lie apart.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

PARTS = os.environ["BENCH_PARTS"]
# A static program, which does next to nothing when it is started: what is measured is the supervisor.
BUSYBOX = shutil.which("busybox")
SLEEP = [BUSYBOX, "sleep", "86399"] if BUSYBOX else ["/bin/sleep", "86399"]
PATIENCE = 120


# Processes, as /proc shows them (proc(5)).

def read(path):
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def command(pid):
    return read(f"/proc/{pid}/cmdline").split("\0")[:-1]


def fields(pid):
    """Of /proc/PID/stat, from the state on."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def tree(root):
    """The process and all below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = fields(entry)
            if stat and stat[0] != "Z":
                children.setdefault(int(stat[1]), []).append(int(entry))
    found, new = [], [root]
    while new:
        found += new
        new = [child for pid in new for child in children.get(pid, [])]
    return found


def children(pid):
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


class Census:
    """Counts the jobs below a process ever again, and looks at each only once."""

    def __init__(self, root):
        self.root, self.jobs, self.done = root, set(), set()

    def count(self):
        self.below(self.root)
        return len(self.jobs)

    def below(self, pid):
        for child in children(pid):
            if child in self.jobs or child in self.done:
                continue
            if is_job(child):
                self.jobs.add(child)
            elif self.below(child):
                self.done.add(child)
        return any(child in self.jobs for child in children(pid)) if pid != self.root else False


def is_job(pid):
    words = command(pid)
    return words == SLEEP or words[:1] == [PARTS] and words[1] in ("write", "tick")


def cpu(pids):
    """Seconds that the processes had a CPU so far."""
    times = [read(f"/proc/{pid}/schedstat").split() for pid in pids]
    return sum(int(words[0]) for words in times if words) / 1e9


def switches(pids):
    lines = [line for pid in pids for line in read(f"/proc/{pid}/status").splitlines()]
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def memory(pids, what):
    """KiB of the processes together."""
    lines = [line for pid in pids for line in read(f"/proc/{pid}/smaps_rollup").splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(what + ":"))


def wait(what, check):
    began = time.monotonic()
    while not (found := check()):
        waited = time.monotonic() - began
        if waited > PATIENCE:
            raise TimeoutError(what)
        # Who is looked at goes slower: to a fiftieth of the time is near enough.
        time.sleep(max(0.0003, waited / 50))
    return found


# Supervisors. Each one's `start` makes it run jobs, given as names with words.

class Supervisor:
    name = ""
    needs = []
    # How long a job has to have run to be restarted without a pause.
    settled = 1.1

    def __init__(self, directory):
        self.dir = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
        self.process, self.first_jobs = None, []

    def popen(self, words, **more):
        log = (self.dir / "stderr").open("ab")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True, **more)

    def own(self):
        return [pid for pid in tree(self.process.pid) if not is_job(pid)]

    def jobs(self):
        return [pid for pid in tree(self.process.pid) if is_job(pid)]

    def victims(self):
        """The jobs that there were when this was asked for the first time."""
        self.first_jobs = self.first_jobs or self.jobs()
        return self.first_jobs

    def stop(self):
        self.process.terminate()

    def end(self):
        """Whatever it left."""
        if self.process:
            # From the top: who is still there would start others anew.
            for pid in tree(self.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Pmtr(Supervisor):
    name = "pmtr"
    settled = 10.5
    program = None
    options = ["-F", "-c"]

    def write(self, jobs):
        text = "".join(f"job {{\n  name {name}\n  cmd {' '.join(words)}\n}}\n" for name, words in jobs)
        (self.dir / "new").write_text(text)
        (self.dir / "new").rename(self.dir / "pmtr.conf")

    def start(self, jobs):
        self.write(jobs)
        # In memory, as /run/pmtr is.
        state = Path("/dev/shm") / self.dir.name if PRIVATE_DEV else self.dir / "state"
        more = ["--state-dir", str(state)]
        self.popen([self.program, *self.options, str(self.dir / "pmtr.conf"), *more])

    def add(self, jobs):
        self.write(jobs)


class Other(Pmtr):
    name = "PMTR_OTHER"

    def start(self, jobs):
        self.write(jobs)
        self.popen([self.program, *self.options, str(self.dir / "pmtr.conf")])


class Bare(Supervisor):
    name = "fork+exec"
    settled = 0

    def start(self, jobs):
        self.popen([PARTS, "bare", str(len(jobs)), *jobs[0][1]])


class Runit(Supervisor):
    name = "runit"
    needs = ["runsvdir", "runsv", "svlogd"]

    def service(self, name, words):
        made = self.dir / ("." + name)
        made.mkdir(parents=True)
        script(made / "run", words)
        if words != SLEEP:
            (made / "log").mkdir()
            (self.dir / "out").mkdir(exist_ok=True)
            script(made / "log" / "run", ["svlogd", str(self.dir / "out")])
        made.rename(self.dir / "service" / name)

    def start(self, jobs):
        (self.dir / "service").mkdir()
        for name, words in jobs:
            self.service(name, words)
        self.popen(["runsvdir", str(self.dir / "service")])

    def add(self, jobs):
        self.service(*jobs[-1])

    def stop(self):
        self.process.send_signal(signal.SIGHUP)


class S6(Runit):
    name = "s6"
    needs = ["s6-svscan", "s6-supervise", "s6-svscanctl", "s6-log"]

    def service(self, name, words):
        made = self.dir / "service" / name
        made.mkdir()
        script(made / "run", words)
        if words != SLEEP:
            (made / "log").mkdir()
            script(made / "log" / "run", ["s6-log", str(self.dir / "out")])

    def start(self, jobs):
        (self.dir / "service").mkdir()
        for name, words in jobs:
            self.service(name, words)
        # It takes 1000 services at most unless told otherwise.
        self.popen(["s6-svscan", "-c", "2000", str(self.dir / "service")])

    def add(self, jobs):
        self.service(*jobs[-1])
        subprocess.run(["s6-svscanctl", "-a", str(self.dir / "service")], check=True)

    def stop(self):
        subprocess.run(["s6-svscanctl", "-t", str(self.dir / "service")], check=True)


class Supervisord(Supervisor):
    name = "supervisor"
    needs = ["supervisord", "supervisorctl"]

    def write(self, jobs):
        text = ("[supervisord]\nnodaemon=true\nuser=root\nminfds=5000\nlogfile={d}/log\n"
                "pidfile={d}/pid\nchildlogdir={d}\n"
                "[unix_http_server]\nfile={d}/socket\n"
                "[rpcinterface:supervisor]\n"
                "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
                "[supervisorctl]\nserverurl=unix://{d}/socket\n").format(d=self.dir)
        for name, words in jobs:
            text += f"[program:{name}]\ncommand={' '.join(words)}\n"
        (self.dir / "conf").write_text(text)

    def start(self, jobs):
        self.write(jobs)
        self.popen(["supervisord", "-c", str(self.dir / "conf")])

    def add(self, jobs):
        self.write(jobs)
        subprocess.run(["supervisorctl", "-c", str(self.dir / "conf"), "update"],
                       check=True, stdout=subprocess.DEVNULL)


def script(path, words):
    path.write_text("#!/bin/sh\nexec " + " ".join(words) + " 2>&1\n")
    path.chmod(0o755)


# Measurements. Each one takes a supervisor that does not run yet.

def sleepers(count):
    return [(f"job{n}", SLEEP) for n in range(count)]


def start(supervisor, jobs):
    """Seconds until all jobs run, and seconds of CPU that it cost the supervisor."""
    began = time.monotonic()
    supervisor.start(jobs)
    census = Census(supervisor.process.pid)
    wait("all jobs", lambda: census.count() >= len(jobs))
    return time.monotonic() - began, cpu(supervisor.own())


def measure_start(supervisor, count):
    seconds, used = start(supervisor, sleepers(count))
    jobs, own = supervisor.jobs(), supervisor.own()
    wait("all jobs to sleep", lambda: all(fields(pid)[0] == "S" for pid in jobs))
    s = "" if count == 1 else "s"
    yield f"start of {count} job{s}, ms", seconds * 1e3
    if count > 1:
        # Of one, the start of the supervisor would be most.
        yield f"CPU per start, {count} jobs, its own part, µs", used / count * 1e6
        yield f"CPU per start, {count} jobs, with the job's part, µs", (cpu(own) + cpu(jobs)) / count * 1e6
    yield f"memory, {count} job{s}, anonymous, KiB", memory(own, "Anonymous")
    yield f"memory, {count} job{s}, anonymous, shared parts divided, KiB", memory(own, "Pss_Anon")
    yield f"memory, {count} job{s}, PSS, KiB", memory(own, "Pss")
    began = time.monotonic()
    supervisor.stop()
    wait("the end of all jobs", lambda: not any(is_job(pid) for pid in jobs))
    yield f"end of {count} job{s}, ms", (time.monotonic() - began) * 1e3


def measure_quiet(supervisors, seconds):
    for supervisor in supervisors:
        start(supervisor, sleepers(24))
    # Until nothing is waited for any more, be it a log that is not there.
    time.sleep(11 if seconds > 1 else 1)
    before = [(switches(own), cpu(own)) for own in (s.own() for s in supervisors)]
    time.sleep(seconds)
    for supervisor, (switched, used) in zip(supervisors, before):
        own = supervisor.own()
        yield supervisor, f"wake-ups in {seconds} s, 24 jobs", switches(own) - switched
        yield supervisor, f"CPU in {seconds} s, 24 jobs, µs", (cpu(own) - used) * 1e6


def measure_restart(supervisors, times):
    """From the death of a job to the program of the next process."""
    for supervisor in supervisors:
        start(supervisor, sleepers(24))
    time.sleep(max(supervisor.settled for supervisor in supervisors))
    for job in range(times):
        for supervisor in supervisors:
            yield supervisor, "restart of a job, ms", restart(supervisor.victims()[job])


def restart(job):
    parent = fields(job)[1]
    before = set(children(parent))
    began = time.monotonic()
    os.kill(job, signal.SIGKILL)
    wait("a restart", lambda: any(is_job(pid) for pid in set(children(parent)) - before))
    return (time.monotonic() - began) * 1e3


def measure_reload(supervisors, times):
    """From a new job in the configuration to its program."""
    supervisors = [supervisor for supervisor in supervisors if not isinstance(supervisor, Bare)]
    for supervisor in supervisors:
        start(supervisor, sleepers(24))
    time.sleep(0.5)
    for count in range(25, 25 + times):
        for supervisor in supervisors:
            census = Census(supervisor.process.pid)
            wait("the jobs", lambda: census.count() == count - 1)
            began = time.monotonic()
            supervisor.add(sleepers(count))
            wait("the new job", lambda: census.count() == count)
            yield supervisor, "reload with a new job, ms", (time.monotonic() - began) * 1e3


def measure_lines(supervisor, count):
    """CPU of the supervisor, its loggers included, for lines of 100 bytes."""
    if isinstance(supervisor, Bare):
        return
    for lines, how in [(1, "one at a time"), (80, "in blocks")]:
        yield from lines_once(type(supervisor), supervisor.dir.parent, count, lines, how)


def lines_once(kind, directory, count, lines, how):
    supervisor = kind(directory)
    to_syslog = isinstance(supervisor, Pmtr)
    if to_syslog and not PRIVATE_DEV:
        return
    receiver = to_syslog and receive(count)
    try:
        start(supervisor, [("writer", [PARTS, "write", str(count), "100", str(lines)])])
        if to_syslog:
            receiver.wait(PATIENCE)
        else:
            wait("all lines", lambda: written(supervisor) >= 100 * count)
        sink = "syslog" if to_syslog else "a file"
        yield f"CPU per line {how}, µs", cpu(supervisor.own()) / count * 1e6, sink
    finally:
        if receiver:
            receiver.kill()
        supervisor.end()


def measure_flood(supervisor, count):
    """How long a line takes to syslog while another job writes as fast as it can."""
    if not isinstance(supervisor, Pmtr) or not PRIVATE_DEV:
        return
    receiver = receive(count, "delays")
    flood, ticker = ("flood", [PARTS, "write", str(10 ** 12), "100", "80"]), ("ticker", [PARTS, "tick"])
    try:
        start(supervisor, [flood, ticker, *sleepers(22)])
        delays = [int(line) / 1e3 for line in receiver.communicate(timeout=PATIENCE)[0].split()]
    finally:
        receiver.kill()
    delays.sort()
    yield "delay of a line beside a flood, ms", statistics.median(delays)
    yield "… of 9 lines in 10 at most, ms", delays[len(delays) * 9 // 10 - 1]


def receive(count, what="receive"):
    Path("/dev/log").unlink(missing_ok=True)
    receiver = subprocess.Popen([PARTS, what, "/dev/log", str(count)], stdout=subprocess.PIPE)
    wait("the receiver", lambda: os.path.exists("/dev/log"))
    return receiver


def written(supervisor):
    time.sleep(0.02)
    found = list(supervisor.dir.glob("out/*")) + list(supervisor.dir.glob("writer-stdout*"))
    if isinstance(supervisor, (Runit, Supervisord)):
        done = [pid for pid in supervisor.jobs() if fields(pid)[0] == "S"]
        quiet = done and read(f"/proc/{done[0]}/wchan").find("nanosleep") >= 0
        return 1 << 60 if quiet and found else 0
    return 0


# The machine.

def noise():
    """How much longer a piece of work takes than it needs CPU: 0 on an idle machine."""
    wall, used = time.perf_counter(), time.process_time()
    sum(range(2_000_000))
    return (time.perf_counter() - wall) / max(time.process_time() - used, 1e-9) - 1


# The run.

def in_turns(kinds, directory, measure, argument, times):
    """The rounds of a measurement that takes one supervisor, which does not run yet."""
    for number in range(times):
        # Each is first at times.
        for kind in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            supervisor = kind(directory)
            NOISE.append(noise())
            try:
                for found in measure(supervisor, argument):
                    note(kind, *found)
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                complain(kind, error)
            finally:
                supervisor.end()


def at_once(kinds, directory, measure, argument, _):
    """A measurement that takes all of them."""
    supervisors = [kind(directory) for kind in kinds]
    NOISE.append(noise())
    try:
        for supervisor, *found in measure(supervisors, argument):
            note(type(supervisor), *found)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        complain(type(supervisors[0]), error)
    finally:
        for supervisor in supervisors:
            supervisor.end()


def note(kind, row, value, remark=None):
    RESULTS.setdefault(row, {}).setdefault(kind.name, []).append(value)
    if remark:
        REMARKS[row, kind.name] = remark


def complain(kind, error):
    print(f"bench: {kind.name}: not within {PATIENCE} s: {error}", file=sys.stderr)


# What is said.

def cell(row, kind):
    values = RESULTS[row].get(kind.name)
    if not values:
        return "–"
    middle, base = statistics.median(values), statistics.median(RESULTS[row].get("pmtr") or [0])
    number = f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"
    ratio = f" ×{middle / base:.2f}" if base and kind is not Pmtr else ""
    low, high = min(values), max(values)
    spread = f" ±{(high - low) / 2 / middle * 100:.0f} %" if middle and len(values) > 1 else ""
    remark = f" ({REMARKS[row, kind.name]})" if (row, kind.name) in REMARKS else ""
    return number + ratio + spread + remark


def table(kinds):
    yield "| | " + " | ".join(kind.name for kind in kinds) + " |"
    yield "|---|" + "---|" * len(kinds)
    for row in RESULTS:
        yield f"| {row} | " + " | ".join(cell(row, kind) for kind in kinds) + " |"


def quality():
    worst, middle = max(NOISE), statistics.median(NOISE)
    yield (f"The machine: {os.cpu_count()} CPUs, Linux {os.uname().release.split('-')[0]}, "
           f"load {os.getloadavg()[0]:.1f}; a piece of work took {middle * 100:.0f} % longer than its "
           f"CPU time, {worst * 100:.0f} % at worst ({len(NOISE)} looks).")
    if middle > 0.1:
        yield ("**Too noisy**: times are not to be trusted, nor small differences of CPU times; memory "
               "and wake-ups are hardly affected.")


def section(kinds):
    """The README's section, from its heading to the next one."""
    other = f"PMTR_OTHER=… PMTR_OTHER_NAME={Other.name} " if Other.program else ""
    first = " --first" if os.sched_getscheduler(0) == os.SCHED_FIFO else ""
    yield HEADING
    yield ""
    yield from wrapped(
        f"`{other}ci/bench{first}` measures pmtr and others from Debian's packages in "
        "one run, as root: each cell has the median of its rounds, how many times pmtr's that is, and half "
        "the distance between the highest and the lowest. Memory and CPU times are those of all processes "
        "that are not jobs. The jobs are `busybox sleep`; `fork+exec` is a loop of nothing but these, which keeps "
        "its jobs running. Lines of 100 bytes go to the receiver that is named in brackets.")
    yield ""
    yield from table(kinds)
    yield ""
    for paragraph in quality():
        yield from wrapped(paragraph)
    yield ""


def wrapped(text):
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def update(path, lines):
    """Puts the section into a file in place of the one that is there."""
    old = Path(path).read_text()
    before, _, rest = old.partition(HEADING + "\n")
    _, found, after = rest.partition("\n## ")
    if not found:
        sys.exit(f"bench: {path} has no section {HEADING!r} with another one behind it")
    Path(path).write_text(before + "\n".join(lines) + found + after)


def chosen(only):
    kinds = [Pmtr, Other, Bare, Runit, S6, Supervisord]
    if not Other.program:
        kinds.remove(Other)
    for kind in list(kinds):
        missing = [program for program in kind.needs if not shutil.which(program)]
        if missing:
            print(f"bench: without {kind.name}: no {missing[0]}", file=sys.stderr)
            kinds.remove(kind)
    return [kind for kind in kinds if not only or kind.name in only.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description="pmtr beside other supervisors")
    parser.add_argument("--smoke", action="store_true", help="a look at whether this works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1000, help="the largest number of jobs")
    parser.add_argument("--only", help="of the supervisors, by their names, with commas")
    parser.add_argument("--rows", help="of start,quiet,restart,reload,lines,flood")
    parser.add_argument("--first", action="store_true",
                        help="before all else that the machine has to do (sched(7), SCHED_FIFO)")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--markdown", action="store_true", help="print the README's section")
    parser.add_argument("--update", metavar="README", help="put the section into this file")
    return parser.parse_args()


def plan(given):
    small = given.smoke
    for count in [3] if small else [1, 24, given.jobs]:
        yield "start", in_turns, measure_start, count
    yield "quiet", at_once, measure_quiet, 1 if small else 30
    if not small:
        yield "restart", at_once, measure_restart, 20
    yield "reload", at_once, measure_reload, 2 if small else 5
    yield "lines", in_turns, measure_lines, 800 if small else given.lines
    yield "flood", in_turns, measure_flood, 10 if small else 100


def main():
    given = arguments()
    if given.first:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    kinds, times = chosen(given.only), 1 if given.smoke else given.rounds
    with tempfile.TemporaryDirectory(prefix="pmtr-bench-") as directory:
        os.chmod(directory, 0o755)
        for name, way, measure, argument in plan(given):
            if not given.rows or name in given.rows.split(","):
                began = time.monotonic()
                way(kinds, directory, measure, argument, times)
                print(f"bench: {name} {argument}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    lines = list(section(kinds)) if given.markdown or given.update else [*table(kinds), "", *quality()]
    print("\n".join(lines))
    for kind in kinds:
        if not all(RESULTS[row].get(kind.name) for row in RESULTS) and kind in (Pmtr, Other):
            sys.exit(f"bench: {kind.name} is not in every row")
    if given.update:
        update(given.update, lines)


HEADING = "## Beside other supervisors"
PRIVATE_DEV = os.environ.get("BENCH_PRIVATE_DEV") == "1"
Pmtr.program = os.environ["BENCH_PMTR"]
Other.program = os.environ.get("PMTR_OTHER")
Other.name = os.environ.get("PMTR_OTHER_NAME", "PMTR_OTHER")
NOISE, RESULTS, REMARKS = [], {}, {}

if __name__ == "__main__":
    main()
