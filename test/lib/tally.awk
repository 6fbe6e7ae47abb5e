# Reads TAP and prints records for test/run, one a line: "count PASSED FAILED SKIPPED", "skip TITLE", "fail TITLE",
# and "more TEXT" for the end of the log and the details below a failed test. A program without TAP that ends with a line
# "N passed, N failed[, N skipped]" is counted by that line.
function title(line) {
  sub(/^(not )?ok +[0-9]* *(- )?/, "", line)
  return line
}
/^ok / {
  detail = 0
  if ($0 ~ /# *[Ss][Kk][Ii][Pp]/) { skipped++; print "skip " title($0) } else passed++
  next
}
/^not ok / {
  if ($0 ~ /# *[Ss][Kk][Ii][Pp]/) { skipped++; print "skip " title($0); next }
  failed++; detail = 30; print "fail " title($0)
  logged = 0
  next
}
detail && !inside && /^ *#/ { log_line[logged++] = $0; next }
/^  ---/ {
  if (!detail) next
  inside = 1
  for (i = logged > 30 ? logged - 30 : 0; i < logged; i++) print "more " log_line[i]
  next
}
/^  \.\.\./ { inside = 0; detail = 0; next }
inside && detail-- > 1 { print "more " $0; next }
/^[0-9]+ passed, [0-9]+ failed/ { line[1] = $1; line[2] = $3; line[3] = $5 + 0 }
END {
  if (passed + failed + skipped == 0 && 1 in line) print "count", line[1], line[2], line[3]
  else print "count", passed + 0, failed + 0, skipped + 0
}
