"""Commands that measure and draw what README and docs show; each is one subject and has its --help.

python -m benchmarks.speed         steps/s of each loop and of its bare step
python -m benchmarks.quality       FID over wall-clock: the defaults and settings in use
python -m benchmarks.correlation   does D's loss fall as the FID does? Over finished runs
python -m benchmarks.processes     images/s of one and of two processes
python -m benchmarks.faults        what fid_random says of images whose faults are known
python -m benchmarks.fault_injection    what a full disk does, at every moment of a run
python -m benchmarks.pictures      folders of colour pictures that anyone can have, to train on
python -m benchmarks.diff          what differs between two lessons, in code
python -m benchmarks.figures       the pictures, most of them from finished runs
"""
