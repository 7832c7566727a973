"""Measures pmtr beside other supervisors, in one run; ci/bench starts it.

Every measurement is made in rounds, in which the supervisors take turns, so
that whatever else the machine does hits all of them. The table has the median
of the rounds, its ratio to pmtr's, and how far the rounds lie apart.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SLEEP = ["/bin/sleep", "86399"]
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
    return words == SLEEP or words[1:2] == ["write"]


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
    end = time.monotonic() + PATIENCE
    while not (found := check()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.0003)
    return found


# Supervisors. Each one's `start` makes it run jobs, given as names with words.

class Supervisor:
    name = ""
    needs = []
    # How long a job has to have run to be restarted without a pause.
    settled = 1.1

    def __init__(self, directory):
        self.dir = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
        self.process = None

    def popen(self, words, **more):
        log = (self.dir / "stderr").open("ab")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True, **more)

    def own(self):
        return [pid for pid in tree(self.process.pid) if not is_job(pid)]

    def jobs(self):
        return [pid for pid in tree(self.process.pid) if is_job(pid)]

    def stop(self):
        self.process.terminate()

    def end(self):
        """Whatever it left."""
        if self.process:
            for pid in reversed(tree(self.process.pid)):
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
        more = ["--state-dir", str(self.dir / "state")]
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
    yield f"start of {count} jobs, ms", seconds * 1e3
    yield f"start of {count} jobs, own CPU ms", used * 1e3
    own = supervisor.own()
    # Of several processes: pages that some of them share count for each, then in parts.
    yield f"anonymous memory, {count} jobs, KiB", memory(own, "Anonymous")
    yield f"anonymous memory, shared counted once, {count} jobs, KiB", memory(own, "Pss_Anon")
    yield f"PSS, {count} jobs, KiB", memory(own, "Pss")
    jobs = supervisor.jobs()
    began = time.monotonic()
    supervisor.stop()
    wait("the end of all jobs", lambda: not any(is_job(pid) for pid in jobs))
    yield f"end of {count} jobs, ms", (time.monotonic() - began) * 1e3


def measure_quiet(supervisor, seconds):
    start(supervisor, sleepers(24))
    time.sleep(min(2, seconds))
    own = supervisor.own()
    before, used = switches(own), cpu(own)
    time.sleep(seconds)
    yield f"wake-ups in {seconds} s, 24 jobs", switches(own) - before
    yield f"CPU in {seconds} s, 24 jobs, µs", (cpu(own) - used) * 1e6


def measure_restart(supervisor, times):
    """From the death of a job to the program of the next process."""
    start(supervisor, sleepers(24))
    time.sleep(supervisor.settled)
    for job in supervisor.jobs()[:times]:
        parent = fields(job)[1]
        before = set(children(parent))
        began = time.monotonic()
        os.kill(job, signal.SIGKILL)
        wait("a restart", lambda: any(is_job(pid) for pid in set(children(parent)) - before))
        yield "restart of a job, ms", (time.monotonic() - began) * 1e3


def measure_reload(supervisor, times):
    """From a new job in the configuration to its program."""
    if isinstance(supervisor, Bare):
        return
    start(supervisor, sleepers(24))
    time.sleep(0.5)
    census = Census(supervisor.process.pid)
    for count in range(25, 25 + times):
        began = time.monotonic()
        supervisor.add(sleepers(count))
        wait("the new job", lambda: census.count() == count)
        yield "reload with a new job, ms", (time.monotonic() - began) * 1e3


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


def receive(count):
    Path("/dev/log").unlink(missing_ok=True)
    receiver = subprocess.Popen([PARTS, "receive", "/dev/log", str(count)])
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

def rounds(kinds, directory, measure, argument, times, results):
    for number in range(times):
        # Each is first at times.
        for kind in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            supervisor = kind(directory)
            NOISE.append(noise())
            try:
                for row, value, *note in measure(supervisor, argument):
                    results.setdefault(row, {}).setdefault(kind.name, []).append(value)
                    NOTES.setdefault((row, kind.name), *note) if note else None
            except TimeoutError as error:
                print(f"bench: {kind.name}: not within {PATIENCE} s: {error}", file=sys.stderr)
            finally:
                supervisor.end()


def cell(values, base):
    if not values:
        return "–"
    middle = statistics.median(values)
    number = f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"
    ratio = f" ×{middle / base:.2f}" if base else ""
    low, high = min(values), max(values)
    spread = f" ±{(high - low) / 2 / middle * 100:.0f} %" if middle and len(values) > 1 else ""
    return number + ratio + spread


def table(kinds, results):
    print("| | " + " | ".join(kind.name for kind in kinds) + " |")
    print("|---|" + "---|" * len(kinds))
    for row, by_kind in results.items():
        base = statistics.median(by_kind.get("pmtr") or [0])
        cells = [cell(by_kind.get(kind.name), base if kind.name != "pmtr" else 0)
                 + (f" ({NOTES[row, kind.name]})" if (row, kind.name) in NOTES else "")
                 for kind in kinds]
        print(f"| {row} | " + " | ".join(cells) + " |")


def tell_noise():
    worst, middle = max(NOISE), statistics.median(NOISE)
    load = os.getloadavg()[0]
    print(f"\n{len(NOISE)} looks at the machine: a piece of work took {middle * 100:.0f} % longer "
          f"than its CPU time, {worst * 100:.0f} % at worst; load {load:.1f}, {os.cpu_count()} CPUs.")
    if middle > 0.1:
        print("TOO NOISY: times are not to be trusted; memory, wake-ups and CPU times are hardly affected.")


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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="the largest number of jobs")
    parser.add_argument("--only", help="of the supervisors, by their names, with commas")
    parser.add_argument("--rows", help="of start,quiet,restart,reload,lines")
    parser.add_argument("--lines", type=int, default=200_000)
    return parser.parse_args()


def main():
    given = arguments()
    counts = [3] if given.smoke else [1, 24, given.jobs]
    times = 1 if given.smoke else given.rounds
    plan = [("start", measure_start, count, times) for count in counts]
    plan.append(("quiet", measure_quiet, 1 if given.smoke else 30, min(times, 3)))
    if not given.smoke:
        plan.append(("restart", measure_restart, 20, 1))
    plan.append(("reload", measure_reload, 2 if given.smoke else 5, 1))
    plan.append(("lines", measure_lines, 800 if given.smoke else given.lines, times))
    kinds, results = chosen(given.only), {}
    with tempfile.TemporaryDirectory(prefix="pmtr-bench-") as directory:
        os.chmod(directory, 0o755)
        for name, measure, argument, times in plan:
            if not given.rows or name in given.rows.split(","):
                print(f"bench: {name} {argument}", file=sys.stderr)
                rounds(kinds, directory, measure, argument, times, results)
    table(kinds, results)
    tell_noise()
    for kind in kinds:
        if not all(results[row].get(kind.name) for row in results) and kind in (Pmtr, Other):
            sys.exit(f"bench: {kind.name} is not in every row")


PARTS = os.environ["BENCH_PARTS"]
PRIVATE_DEV = os.environ.get("BENCH_PRIVATE_DEV") == "1"
Pmtr.program = os.environ["BENCH_PMTR"]
Other.program = os.environ.get("PMTR_OTHER")
Other.name = os.environ.get("PMTR_OTHER_NAME", "PMTR_OTHER")
NOISE, NOTES = [], {}

if __name__ == "__main__":
    main()
