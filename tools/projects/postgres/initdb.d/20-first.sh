psql -v ON_ERROR_STOP=1 --no-psqlrc -U postgres -c "INSERT INTO books VALUES ('${FIRST_BOOK:-none}')"
