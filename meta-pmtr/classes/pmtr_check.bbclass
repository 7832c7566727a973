# Checks the /etc/pmtr.conf of an image while it is built: IMAGE_CLASSES += "pmtr_check".
# An error in it ends the build. Warnings do not: they are about users and programs, of which the
# build's machine has others.

do_rootfs[depends] += "pmtr-native:do_populate_sysroot"

pmtr_check_configuration[doc] = "Runs pmtr -t on the configuration in the image."
pmtr_check_configuration() {
    if [ -e ${IMAGE_ROOTFS}${sysconfdir}/pmtr.conf ]; then
        if ! said=$(pmtr -t -c ${IMAGE_ROOTFS}${sysconfdir}/pmtr.conf 2>&1); then
            bbfatal "$said"
        fi
    fi
}

ROOTFS_POSTPROCESS_COMMAND += "pmtr_check_configuration;"
