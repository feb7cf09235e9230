/* SQLite: queries on a database file that is granted, read-only, and a temporary table in memory.
 */
#include "../common/program.h"

#include <sqlite3.h>

static sqlite3 *database;

static void check(int status)
{
	if (status != SQLITE_OK && status != SQLITE_DONE && status != SQLITE_ROW) {
		fprintf(stderr, "%s\n", sqlite3_errmsg(database));
		abort();
	}
}

static void query(const char *sql, unsigned number)
{
	sqlite3_stmt *statement;
	check(sqlite3_prepare_v2(database, sql, -1, &statement, NULL));
	if (sqlite3_bind_parameter_count(statement))
		check(sqlite3_bind_int(statement, 1, (int)number));
	int status;
	while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(statement); i++)
			say("%s|", (const char *)sqlite3_column_text(statement, i));
		say(" ");
	}
	check(status);
	sqlite3_finalize(statement);
}

static void answer(unsigned number)
{
	query("select name, price from goods where id = ?", number * 37 + 1);
	query("select kind, count(*), sum(price) from goods where id % 100 = ? group by kind order by kind",
	      number);
	query("create temp table basket as select id, price from goods where id between 1 and 50", 0);
	query("update basket set price = price + ?", number);
	query("select count(*), sum(price) from basket", 0);
	query("drop table basket", 0);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	check(sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READONLY, NULL));
	check(sqlite3_exec(database, "pragma temp_store = memory", NULL, NULL, NULL));
	return serve();
}
