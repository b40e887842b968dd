/* SPDX-License-Identifier: MIT */
/* Linked statically: no preloaded library reaches it. */
int main(void)
{
	return 0;
}
