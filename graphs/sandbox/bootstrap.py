"""The program inside the sandbox that runs a script or tests; kept as text, sent with the job.

Its test report goes over a descriptor of its own with a secret of this run, so code that ends the
process early or prints "3 passed" doesn't count as passed.
"""

TESTS = """
import json, os, sys
report, secret, folder = int(sys.argv[1]), sys.argv[2], os.getcwd()
del sys.argv[1:]
sys.path.insert(0, folder)
counts = {"passed": 0, "failed": 0, "skipped": 0}
def tell(**more):
    os.write(report, (json.dumps({"secret": secret, **counts, **more}) + "\\n").encode())
def with_pytest(pytest):
    class Counter:
        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                counts[report.outcome] += 1
        def pytest_collectreport(self, report):
            if report.failed:
                counts["failed"] += 1
    return pytest.main(["-q", "--maxfail=5", "--tb=short", "--no-header", "-p", "no:cacheprovider",
        "--rootdir", folder, "-c", os.devnull, folder], plugins=[Counter()])
def with_unittest():
    import glob, importlib.util, inspect, unittest
    suite = unittest.TestSuite()
    for path in sorted(glob.glob("**/test_*.py", recursive=True)):
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
        for name, function in sorted(vars(module).items()):
            if name.startswith("test") and inspect.isfunction(function):
                suite.addTest(unittest.FunctionTestCase(function, description=name))
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    counts.update(failed=bad, skipped=len(result.skipped))
    counts["passed"] = result.testsRun - bad - len(result.skipped)
    return int(bool(bad))
try:
    import pytest
except ImportError:
    pytest = None
code = with_pytest(pytest) if pytest else with_unittest()
sys.stdout.flush()
tell(done=True)
sys.exit(int(code))
"""

SCRIPT = """
import os, runpy, sys
name = sys.argv[3]
sys.argv[:] = [name]
sys.path.insert(0, os.getcwd())
runpy.run_path(name, run_name="__main__")
"""
