"""What a check says: a line for each thing that was looked at, and what was wrong with it."""

import subprocess
import sys


class Report:
    def __init__(self):
        self.failures = 0

    def tell(self, what, wrong):
        """Notes the outcome of one thing: `wrong` is what was found, and nothing if all is well."""
        wrong = list(wrong)
        print(f"{'FAILED' if wrong else 'ok'}: {what}")
        for line in wrong:
            print(f"  {line}")
        self.failures += len(wrong)

    def run(self, what, command, **options):
        """A program that has to end well."""
        done = subprocess.run([str(it) for it in command], capture_output=True, text=True, timeout=300, **options)
        said = (done.stdout + done.stderr).strip()
        self.tell(what, said.splitlines() or ["it says nothing"] if done.returncode else [])

    @staticmethod
    def skip(what, why):
        print(f"SKIPPED: {what}: {why}")

    def close(self):
        sys.exit(1 if self.failures else 0)
