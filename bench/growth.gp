# Draws docs/performance/*.svg from the tables beside them: gnuplot bench/growth.gp
set terminal svg size 640,400 font "sans-serif,12" background rgb "white"
set grid
set key left top
set style data linespoints
set datafile missing "nan"
directory = "docs/performance/"

set xlabel "guest memory, GiB (three quarters in use)"
set ylabel "pre-copy, s"
set output directory."size.svg"
plot directory."size.tsv" using ($1/1024):2 title "Culvert", \
     directory."size.tsv" using ($1/1024):3 title "QEMU's own TCP"

set xlabel "MiB/s that the guest writes (1 Gbit/s link)"
set ylabel "total time, s"
set key right top
set yrange [0:*]
set output directory."dirty.svg"
plot directory."dirty.tsv" using 1:2 title "hybrid", \
     directory."dirty.tsv" using 1:3 title "post-copy", \
     directory."dirty.tsv" using 1:4 title "pre-copy (none: not within 25 s)"

set logscale x 2
set xlabel "channels"
set ylabel "CPU s/GiB, both daemons"
set y2label "GiB/s"
set y2tics
set ytics nomirror
set y2range [0:*]
set key right bottom
set output directory."channels.svg"
plot directory."channels.tsv" using 1:3 title "CPU s/GiB", \
     directory."channels.tsv" using 1:2 axes x1y2 title "GiB/s"

unset logscale x
unset y2label
unset y2tics
set ytics mirror
set xlabel "round trip, ms (1 Gbit/s)"
set ylabel "GiB/s"
set output directory."roundtrip.svg"
plot directory."roundtrip.tsv" using 1:2 title "Culvert", \
     directory."roundtrip.tsv" using 1:3 title "TCP, no tunnel"
