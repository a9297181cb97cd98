/**
 * Imported for its effect: the temporary directories of this test file are on the disk, not in memory. For programs
 * that write without a pause: what gives them their pace, and keeps a commit under way for a while, is the wait for the
 * disk.
 */
const disk = process.env["HOLDFAST_TEST_DISK"];
if (disk !== undefined) process.env["TMPDIR"] = disk;
