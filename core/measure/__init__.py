"""Time, memory, traffic, correctness, and the peaks of this machine.

In reading order:

    correctness       the rule by which a result is right or wrong
    timer             seconds per call, of several calls side by side
    threads, pages    what holds a timing steady: numbers of threads, no page faults
    load              whether the machine is busy with something else
    memory, resident  the peak memory of a call: from the allocator, from the operating system
    traffic           what PyTorch's operators read and write
    products          the libraries that multiply matrices here; compared_products: which is fastest, and right
    fastest_products  what was found of that, kept in the cache, recorded in runs, in use in this process
    loops, together   compiled multiply-adds and copies, on threads that begin at the same moment
    fma, copies       the FMA peak; a copy from each cache
    peaks             these, the best product and a copy in memory: what this machine can do at best
    ceiling           what a stored run is compared with
    machine, caches   facts about this machine and its caches
"""
