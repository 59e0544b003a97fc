"""The counters of machines without /proc, through psutil: the same columns, at ten times the cost."""

from __future__ import annotations

from tal_repro.machine.host import MIB
from tal_repro.measure.rates import Rates, Sample, Take


def system_counters_psutil() -> Take:
    """Return what takes one sample of CPU, memory, disk and network."""
    import psutil

    rates = Rates()
    psutil.cpu_percent(percpu=True)  # counts from here

    def take(now: float) -> Sample:
        cores: list[float] = psutil.cpu_percent(percpu=True)
        memory = psutil.virtual_memory()
        sample = {
            "cpu_mean_percent": sum(cores) / len(cores),
            "cpu_busiest_percent": max(cores),
            "memory_used_mib": (memory.total - memory.available) / MIB,
            "memory_free_percent": 100 * memory.available / memory.total,
        }
        if disk := psutil.disk_io_counters():
            sample["disk_read_mib_s"] = rates.per_second("read", now, disk.read_bytes / MIB)
            sample["disk_write_mib_s"] = rates.per_second("write", now, disk.write_bytes / MIB)
        net = [counters for name, counters in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")]
        sample["net_received_mib_s"] = rates.per_second("received", now, sum(c.bytes_recv for c in net) / MIB)
        sample["net_sent_mib_s"] = rates.per_second("sent", now, sum(c.bytes_sent for c in net) / MIB)
        return sample | {f"cpu_{index}_percent": percent for index, percent in enumerate(cores)}

    return take


def family_counters_psutil(pid: int, own_pid: int, descendants_only: bool = False) -> Take:
    """Return what takes one sample of a process family (see `family.family_counters`)."""
    import psutil

    rates = Rates()

    def take(now: float) -> Sample:
        try:
            root = psutil.Process(pid)
            family = [*([] if descendants_only else [root]), *root.children(recursive=True)]
        except psutil.Error:
            return {}
        family = [member for member in family if member.pid != own_pid]
        if not family:
            return {}
        busiest = resident = total = 0.0
        for member in family:
            try:
                threads, times, memory = member.threads(), member.cpu_times(), member.memory_info()
            except psutil.Error:
                continue
            resident += memory.rss / MIB
            total += rates.per_second(f"process {member.pid}", now, times.user + times.system)
            for thread in threads:
                seconds = thread.user_time + thread.system_time
                busiest = max(busiest, rates.per_second(f"thread {thread.id}", now, seconds))
        return {
            "thread_busiest_percent": 100 * busiest,
            "process_cpu_percent": 100 * total,
            "process_memory_mib": resident,
        }

    return take
