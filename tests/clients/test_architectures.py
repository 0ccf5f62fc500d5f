"""Packages for other processors go through server and mirror to clients of these processors."""

from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf
from support.stage import stage
from support.web import web_server


def test_apt_of_each_architecture_gets_its_packages(tmp_path: Path) -> None:
    with stage(tmp_path, None) as lab:
        arches = ("armhf", "armel", "riscv64", "ppc64el", "s390x", "hurd-i386", "x32")
        for arch in arches:
            lab.server.put_deb(Deb(f"only-{arch}", "1", arch))
        lab.server.put_deb(Deb("common", "1", "all"))
        lab.agent("sync")
        with web_server(lab.www) as url:
            for arch in arches:
                source = f"deb [trusted=yes] {url}/apt-dev bookworm main\n"
                apt = PrivateApt(tmp_path / arch, source, arch)
                assert apt.run("update").exit_code == 0
                assert sorted(apt.run("pkgnames", program="apt-cache").output.split()) == ["common", f"only-{arch}"]
                assert apt.run("download", f"only-{arch}").exit_code == 0


def test_dnf_of_each_architecture_gets_its_packages(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("rhel9",), "yum") as lab:
        arches = ("ppc64le", "s390x", "riscv64", "armv7hl", "x86_64_v2")
        for arch in (*arches, "noarch"):
            rpm = Rpm(f"only-{arch}", "1", arch, "1.el9", files=((f"/opt/{arch}", b"x\n"),))
            lab.server.put(write_rpm(rpm, tmp_path), ("rhel9",))
        lab.agent("sync")
        directory = lab.repo / "rhel/main/9"
        for arch in arches:
            assert (directory / arch / f"only-{arch}-1-1.el9.{arch}.rpm").is_file()
        with web_server(lab.www) as url:
            repo = f"[mirror]\nname=mirror\nbaseurl={url}/yum-dev/rhel/main/9\ngpgcheck=0\n"
            for arch in ("ppc64le", "s390x"):
                dnf = PrivateDnf(tmp_path / f"dnf-{arch}", repo, arch)
                said = dnf.run("install", f"only-{arch}", "only-noarch")
                assert said.exit_code == 0, said.output
                assert sorted(path.name for path in (dnf.target / "opt").iterdir()) == sorted([arch, "noarch"])
                assert dnf.run("install", "only-armv7hl").exit_code != 0
