"""What was measured, kept as JSON: a file for each run of a part, with the machine and the day."""

import datetime
import json
import os
import platform


def machine():
    with open("/proc/meminfo") as file:
        kilobytes = int(file.readline().split()[1])
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {
        "architecture": platform.machine(), "processor": names[0] if names else "", "cores": os.cpu_count(),
        "memory_bytes": kilobytes * 1024, "python": platform.python_version(),
    }


def since_start(load_seconds, in_files, side_files):
    """When all rows were in table files, and when these had their side files, each counted from the end of loading."""
    def since(waited):
        return None if waited is None else load_seconds + waited

    return {"in_files_seconds": since(in_files), "side_files_seconds": since(side_files)}


def save(folder, part, result, rows=None):
    """Keeps a result in place of an earlier one of the same part and number of rows."""
    os.makedirs(folder, exist_ok=True)
    name = part if rows is None else "%s-%d" % (part, rows)
    kept = {"part": part, "date": str(datetime.date.today()), "machine": machine(), **result}
    path = os.path.join(folder, name + ".json")
    with open(path + ".new", "w") as file:
        json.dump(kept, file, indent=1)
    os.replace(path + ".new", path)
    print("kept as " + path, flush=True)


def read(folder):
    """All results by part, those of a part by number of rows."""
    parts = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.endswith(".json"):
            with open(os.path.join(folder, name)) as file:
                result = json.load(file)
            parts.setdefault(result["part"], []).append(result)
    for results in parts.values():
        results.sort(key=lambda result: result.get("rows", 0))
    return parts
