"""The programs inside the sandbox that run a script or tests; kept as text, sent with the job.

A test report is a line over a descriptor of its own, signed with a key of this run. The key comes
over a pipe that is read and closed before any of the code is imported: it is in no argument, no
variable of the environment and no file. At the end a test of ours that must fail is run by the same
pytest, so a hook that turns failures into passes is seen. See `verdict.py` for what is believed.
"""

TESTS = """
import hmac, json, os, sys
report, key, folder = int(sys.argv[1]), int(sys.argv[2]), os.getcwd()
del sys.argv[1:]
sys.path[:0] = [folder] + [folder + "/src"] * os.path.isdir(folder + "/src")
def signer():
    with os.fdopen(key, "rb") as file:
        return hmac.new(file.read(), digestmod="sha256")
def main(sign):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    names, check, left, write, dumps = [], [], [], os.write, json.dumps
    def tell(**more):
        text = dumps({**counts, **more})
        sign.update(text.encode())
        write(report, f"\\n{sign.hexdigest()} {text}\\n".encode())
    def with_pytest(pytest):
        from _pytest.runner import runtestprotocol
        class MustFail(pytest.Item):
            def runtest(self):
                raise AssertionError
            def repr_failure(self, excinfo, style=None):
                return ""
            def reportinfo(self):
                return self.path, 0, self.name
        class Counter:
            @pytest.hookimpl(wrapper=True, tryfirst=True)
            def pytest_runtest_makereport(self, item, call):
                report = yield
                if isinstance(item, MustFail):
                    if report.when == "call":
                        check.append(report.outcome)
                elif report.when == "call" or report.outcome != "passed":
                    counts[report.outcome] += 1
                    if report.outcome == "passed":
                        names.append(item.nodeid)
                    if report.outcome == "skipped" or hasattr(report, "wasxfail"):
                        left.append(item.nodeid)
                return report
            def pytest_collectreport(self, report):
                if report.failed:
                    counts["failed"] += 1
            @pytest.hookimpl(tryfirst=True)
            def pytest_sessionfinish(self, session):
                item = MustFail.from_parent(session, name="test_" + os.urandom(4).hex())
                session._setupstate.teardown_exact(None)
                runtestprotocol(item, log=False, nextitem=None)
        return pytest.main(["-q", "--maxfail=5", "--tb=short", "--no-header", "-p",
            "no:cacheprovider", "--rootdir", folder, "--confcutdir", folder, "-c", os.devnull,
            folder], plugins=[Counter()])
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
        class Result(unittest.TextTestResult):
            def addSuccess(self, test):
                super().addSuccess(test)
                names.append(getattr(test, "_testMethodName", "") if not isinstance(
                    test, unittest.FunctionTestCase) else test._description)
        result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result).run(suite)
        bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
        out = [*result.skipped, *result.expectedFailures]
        left.extend(str(test) for test, _ in out)
        counts.update(failed=bad, skipped=len(out))
        counts["passed"] = len(names)
        def must_fail():
            raise AssertionError
        quiet = unittest.TestResult()
        unittest.FunctionTestCase(must_fail).run(quiet)
        check.append("failed" if len(quiet.failures) == 1 else "passed")
        return int(bool(bad))
    try:
        import pytest
    except ImportError:
        pytest = None
    code = with_pytest(pytest) if pytest else with_unittest()
    sys.stdout.flush()
    tell(done=True, names=names, check=check, left=left)
    return int(code)
sys.exit(main(signer()))
"""

SCRIPT = """
import os, runpy, sys
name = sys.argv[3]
sys.argv[:] = [name]
sys.path.insert(0, os.getcwd())
runpy.run_path(name, run_name="__main__")
"""

ELSEWHERE = """
import json, os, sys
with (open(sys.argv[1], encoding="utf-8") if len(sys.argv) > 1 else sys.stdin) as file:
    job = json.load(file)
if len(sys.argv) > 1:
    os.unlink(sys.argv[1])
for name, text in job["files"].items():
    os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
    with open(name, "w", encoding="utf-8", newline="") as file:
        file.write(text)
report = os.dup(1)
reader, writer = os.pipe()
os.write(writer, bytes.fromhex(job["key"]))
os.close(writer)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if job["apart"]:
    os.dup2(2, 1)
os.set_inheritable(report, True)
os.set_inheritable(reader, True)
argv = [sys.executable, "-I", "-B", "-c", job["program"], str(report), str(reader), job["name"]]
os.execve(argv[0], argv, {**os.environ, **job["env"]})
"""
"""In a container or a remote sandbox: takes the job from stdin or a file, and becomes the code."""
