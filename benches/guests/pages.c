// Dirties as many pages as the URL says.
#include <stdlib.h>
#include <tinykvm.h>
static char pages[4096][4096];
static void on_get(const char *url, const char *arg) {
	(void)arg;
	int n = atoi(url + 1);
	for (int i = 0; i < n && i < 4096; i++) *(volatile char *)pages[i] = 1;
	backend_response_str(200, "text/plain", "ok");
}
int main(void) {
	set_backend_get(on_get);
	wait_for_requests();
}
