"""Strict, bounded readers, one for each kind of archive: ar, tar, zip, gzip and other compressed files.

All readers follow the same rules:

1. An accepted archive means the same to every client. If two common implementations would see different members in the
   same bytes, the reader refuses the archive.
2. Nothing in the archive is trusted: every number has a bound, and memory use stays small whatever the archive says.
3. An archive ends where it says it does: the reader refuses truncated archives and bytes that belong to no member.

An archive can be checked at two depths. *Shape* reads every member header to the end of the file. *Payload* also
decompresses everything and verifies the checksums:

    ZipArchive(file).members                      shape
    ZipArchive(file).check_payload()              payload
    for member in TarReader(FileSource(file)):    shape; a plain tar has no payload checksums
    for member in TarReader(GzipStream(file)):    payload, since the headers are inside the compressed stream
    check_gzip_payload(file)                      payload of any gzip file
    open_compressed(file, "xz").drain()           payload of any xz, zstd, bzip2 or lzma file

All of them raise `Refused`. The readers are pure: they read from the open file and have no other side effects.
"""
