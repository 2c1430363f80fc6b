from gridless.cli import main

main()
