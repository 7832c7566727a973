SUMMARY = "Process supervisor: one file runs all programs of a device"
DESCRIPTION = "pmtr starts and restarts the jobs of /etc/pmtr.conf, and applies a change of it once it is saved."
# The original's, whose manual is the specification.
HOMEPAGE = "https://github.com/troydhanson/pmtr"
SECTION = "base"
# The crates that are linked in are under MIT, ISC, or Apache-2.0 and MIT as one likes.
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=d08c8462a972079916d92c8f443240e5"

# Where the sources are: a repository or mirror that your builds can reach, set in local.conf.
PMTR_REPOSITORY ?= "git://git.example.com/pmtr.git;protocol=https;branch=main"
SRC_URI = "${PMTR_REPOSITORY};destsuffix=${BP}"
SRCREV = "651ba2dcf0c2762dff59eb6b9f115b39d464269b"

CVE_PRODUCT = "pmtr"

require ${BPN}-crates.inc

inherit cargo cargo-update-recipe-crates ptest-cargo systemd update-rc.d

# Capacities of the program, in numbers (src/limits.rs): what a local.conf sets of these reaches the
# build, and everything else has its default.
PMTR_CAPACITIES = "PMTR_MAX_JOBS PMTR_TEXT_BYTES PMTR_MAX_DEPENDS PMTR_STREAM_BUFFERS PMTR_RING_BYTES"
PMTR_CAPACITIES[doc] = "Variables that change how many jobs and how much text pmtr has room for."

# An empty variable in the environment would be a wrong number, so only those that are set go there.
# nooelint: oelint.task.noanonpython
python () {
    for name in d.getVar("PMTR_CAPACITIES").split():
        if d.getVar(name):
            d.setVarFlag(name, "export", "1")
}

# The packages do the stripping, and put what they take away into -dbg.
export CARGO_PROFILE_RELEASE_STRIP = "none"
export CARGO_PROFILE_RELEASE_DEBUG = "1"
CARGO_BUILD_FLAGS += "--bin pmtr"

# The tests start the program that is installed, so their 45 programs need not be optimized as a whole
# each, as that is. As in "cargo test" they have a profile, and so a folder, of their own; a debugger's
# help with them would be 276 MB.
BUILD_MODE:task-compile-ptest-cargo = ""
export CARGO_PROFILE_DEV_OPT_LEVEL = "s"
export CARGO_PROFILE_DEV_DEBUG = "0"
export CARGO_PROFILE_DEV_STRIP = "debuginfo"
export CARGO_PROFILE_DEV_INCREMENTAL = "false"

# So that run-ptest sees which tests were left out, and why.
RUST_TEST_ARGS = "--show-output"

# Both: systemd.bbclass takes out the one that the image does not use.
SYSTEMD_SERVICE:${PN} = "pmtr.service"
INITSCRIPT_NAME = "pmtr"
INITSCRIPT_PARAMS = "defaults 80 20"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${sysconfdir}/init.d
    sed -e 's|@BINDIR@|${bindir}|g' ${S}/init/pmtr.service > ${D}${systemd_system_unitdir}/pmtr.service
    sed -e 's|@BINDIR@|${bindir}|g' ${S}/init/pmtr.sysvinit > ${D}${sysconfdir}/init.d/pmtr
    chmod 0644 ${D}${systemd_system_unitdir}/pmtr.service
    chmod 0755 ${D}${sysconfdir}/init.d/pmtr

    install -m 0600 ${S}/packaging/pmtr.conf ${D}${sysconfdir}/pmtr.conf

    install -d ${D}${mandir}/man5 ${D}${mandir}/man8
    install -m 0644 ${S}/man/pmtr.conf.5 ${D}${mandir}/man5/
    install -m 0644 ${S}/man/pmtr.8 ${D}${mandir}/man8/

    install -d ${D}${docdir}/${BPN}/examples
    install -m 0644 ${S}/README.md ${S}/CHANGELOG.md ${D}${docdir}/${BPN}/
    install -m 0644 ${S}/examples/*.conf ${D}${docdir}/${BPN}/examples/
}

# What the tests read beside the program, and the head of run-ptest.
do_install_ptest() {
    cp -r ${S}/README.md ${S}/SECURITY.md ${S}/docs ${S}/examples ${S}/init ${S}/man ${S}/packaging ${S}/src ${S}/tests \
        ${D}${PTEST_PATH}/
    mv ${D}${PTEST_PATH}/tests/run-ptest ${D}${PTEST_PATH}/run-ptest
}

CONFFILES:${PN} = "${sysconfdir}/pmtr.conf"

# Of more programs the tests make use where there are any: iproute2, strace, python3, gdb.
RDEPENDS:${PN}-ptest += "bash coreutils util-linux-flock util-linux-prlimit util-linux-setpriv util-linux-unshare"

BBCLASSEXTEND = "native"
