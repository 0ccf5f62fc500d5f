"""One strict, bounded reader for each kind of archive: ar, tar, zip, gzip, and what else is compressed.

The rules that all readers keep:

1. What is accepted means the same to every client. Where two readers in the field would see different members in
   the same bytes, the archive is refused.
2. Nothing in the archive is trusted: every number has a bound, memory stays small whatever the archive says.
3. An archive ends where it says: torn archives and bytes that belong to nothing are refused.

There are two depths. *Shape* reads every member header to the end of the file. *Payload* also decompresses
everything and checks the checksums:

    ZipArchive(file).members                      shape
    ZipArchive(file).check_payload()              payload
    for member in TarReader(FileSource(file)):    shape; a plain tar has no checksums of its payload
    for member in TarReader(GzipStream(file)):    payload, as the headers stand inside the compressed stream
    check_gzip_payload(file)                      payload of any gzip file
    open_compressed(file, "xz").drain()           payload of any xz, zstd, bzip2 or lzma file

All of them raise `Refused`. The readers are pure: they read from the open file, and touch nothing else.
"""
