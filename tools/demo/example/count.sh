# Counts the words on its input, the most frequent first.
tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -rn -k1,1 -k2
